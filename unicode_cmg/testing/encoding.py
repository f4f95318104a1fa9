"""What `encode_batch` promises: shapes, codes that are codewords, padding, batches, errors."""

from __future__ import annotations

import torch
from torch import Tensor

from unicode_cmg.batch import Encoding, FeatureBatch
from unicode_cmg.testing.check import check
from unicode_cmg.testing.subject import (
    GARBAGE,
    NOT_FINITE,
    Skipped,
    Subject,
    changed,
    close,
    encoded,
    refusing,
    require,
    state_of,
)


def _same(a: Encoding, b: Encoding, what: str) -> None:
    require(torch.equal(a.indices, b.indices), f"{what}: other codes")
    for field in ("general", "codes", "unquantized"):
        require(close(getattr(a, field), getattr(b, field)), f"{what}: other values of `{field}`")


def _rows(encoding: Encoding, rows: slice | Tensor) -> Encoding:
    return Encoding(
        encoding.general[rows], encoding.codes[rows], encoding.indices[rows], encoding.unquantized[rows]
    )


@check(
    why="everything downstream reads these four tensors",
    fix="return general [B, T, D], codes and unquantized [B, T, K*D] and int64 indices [B, T, K]; T may be 1",
)
def encode_has_documented_shapes(subject: Subject) -> None:
    model = subject.build()
    layers = len(model.code_layers())
    for m in subject.modalities:
        made = encoded(model, subject.batch(3, 5), m)
        require(isinstance(made, Encoding), f"encode_batch returns a {type(made).__name__}")
        clips, steps, dim = made.general.shape
        require(clips == 3 and steps in (1, 5), f"`general` of 3 clips of 5 steps is {[clips, steps, dim]}")
        for field, width in (("indices", layers), ("codes", None), ("unquantized", None)):
            shape = list(getattr(made, field).shape)
            require(shape[:2] == [3, steps] and len(shape) == 3, f"`{field}` is {shape}")
            require(width in (None, shape[2]), f"`{field}` is {shape} with {layers} code layers")
        require(made.codes.shape == made.unquantized.shape, "`codes` and `unquantized` differ in shape")
        require(made.codes.shape[2] % layers == 0, f"`codes` are not {layers} code layers side by side")
        require(made.indices.dtype == torch.int64, f"`indices` are {made.indices.dtype}")


@check(
    why="an index is looked up in the codebook and counted",
    fix="return indices from 0 to the number of codes of their code layer, exclusive",
)
def indices_are_in_range(subject: Subject) -> None:
    model = subject.build()
    for m in subject.modalities:
        indices = encoded(model, subject.batch(), m).indices
        for k, (layer, size) in enumerate(model.code_layers().items()):
            low, high = int(indices[..., k].min()), int(indices[..., k].max())
            require(low >= 0 and high < size, f"indices of {layer} go from {low} to {high} of {size} codes")


@check(
    why="heads, TOC and `codes` look vectors up by index, so other vectors would be misjudged",
    fix="return the codewords that the indices name, code layers side by side in their order",
)
def codes_are_the_codewords_of_their_indices(subject: Subject) -> None:
    model = subject.build()
    layers, books = list(model.code_layers()), model.codebooks()
    if not books:
        raise Skipped("codes are not looked up in codebooks")
    for m in subject.modalities:
        made = encoded(model, subject.batch(), m)
        parts = made.codes.chunk(len(layers), dim=-1)
        for k, layer in enumerate(layers):
            if layer in books:
                same = close(parts[k], books[layer][made.indices[..., k]])
                require(same, f"codes of '{m}' in {layer} are not rows of its codebook")


@check(
    why="`unquantized` is what TOC quantizes again in fewer dimensions",
    fix="return what each codebook was given, so that the nearest codeword is the code",
)
def indices_are_the_nearest_codewords(subject: Subject) -> None:
    model = subject.build()
    layers, books = list(model.code_layers()), model.codebooks()
    if not books:
        raise Skipped("codes are not looked up in codebooks")
    for m in subject.modalities:
        made = encoded(model, subject.batch(), m)
        parts = made.unquantized.chunk(len(layers), dim=-1)
        for k, layer in enumerate(layers):
            if layer in books:
                distances = torch.cdist(parts[k].flatten(0, 1).float(), books[layer].float())
                chosen = distances.gather(1, made.indices[..., k].flatten().unsqueeze(1))[:, 0]
                nearest = torch.allclose(chosen, distances.min(1).values, rtol=1e-2, atol=1e-3)
                require(nearest, f"codes of '{m}' in {layer} are not the nearest codewords")


@check(
    why="codes that are computed twice must agree",
    fix="draw nothing at random in evaluation mode",
)
def encode_is_deterministic(subject: Subject) -> None:
    model = subject.build()
    for m in subject.modalities:
        one, two = (encoded(model, subject.batch(), m) for _ in range(2))
        require(torch.equal(one.codes, two.codes), f"'{m}' has other codes when it is encoded again")


@check(
    why="encoding a store must not depend on what was drawn before, nor change what is drawn after",
    fix="leave torch's global generator alone in evaluation mode",
)
def encode_draws_nothing(subject: Subject) -> None:
    model = subject.build()
    before = torch.get_rng_state()
    for m in subject.modalities:
        encoded(model, subject.batch(), m)
    require(torch.equal(before, torch.get_rng_state()), "encode draws from the global generator")


@check(
    why="a trained model is read by many at once, and looking must not change it",
    fix="write no buffer in encode_batch, in whatever mode",
)
def encode_changes_no_state(subject: Subject) -> None:
    for training in (False, True):
        model = subject.build(training=training)
        before = state_of(model)
        for m in subject.modalities:
            encoded(model, subject.batch(), m)
        key = changed(before, state_of(model))
        require(key is None, f"encode changes '{key}' in {'training' if training else 'evaluation'} mode")
        require(model.training == training, "encode changes the mode of the model")


@check(
    why="clips are encoded in batches of any size, and the codes of a clip are its own",
    fix="use no statistics of the batch in evaluation mode",
)
def encode_does_not_depend_on_batch_mates(subject: Subject) -> None:
    model, batch = subject.build(), subject.batch(5)
    for m in subject.modalities:
        whole = encoded(model, batch, m)
        for clip in (0, 3):
            alone = encoded(model, _only(batch, [clip]), m)
            _same(alone, _rows(whole, slice(clip, clip + 1)), f"'{m}' encoded alone and in a batch")


@check(
    why="the order in which clips are read means nothing",
    fix="treat the clips of a batch alike",
)
def encode_follows_the_order_of_the_clips(subject: Subject) -> None:
    model, batch, order = subject.build(), subject.batch(5), [3, 0, 4, 2, 1]
    for m in subject.modalities:
        turned = encoded(model, _only(batch, order), m)
        _same(turned, _rows(encoded(model, batch, m), torch.tensor(order)), f"'{m}' in another order")


@check(
    why="an image or a caption is a modality of one step",
    fix="let every layer take T = 1",
)
def encode_takes_a_single_step(subject: Subject) -> None:
    model = subject.build()
    for m in subject.modalities:
        require(encoded(model, subject.batch(3, 1), m).indices.shape[:2] == (3, 1), f"'{m}' with T = 1")


@check(
    why="people bring clips of any length",
    fix="write no number of steps into the layers",
)
def encode_takes_any_number_of_steps(subject: Subject) -> None:
    model = subject.build()
    for m in subject.modalities:
        for steps in (2, 23):
            made = encoded(model, subject.batch(2, steps), m)
            require(made.codes.isfinite().all(), f"'{m}' of {steps} steps has codes that are not finite")


@check(
    why="a mask that is True everywhere says nothing",
    fix="let masks act on padding alone",
)
def a_full_mask_is_as_good_as_none(subject: Subject) -> None:
    model, batch = subject.build(), subject.batch()
    for m in subject.modalities:
        _same(encoded(model, batch, m), encoded(model, batch, m, masked=False), f"'{m}' with a full mask")


@check(
    why="the padding of a store holds whatever the writer left there",
    fix="clear features where the mask is False, with unicode_cmg.batch.cleared, before anything is computed",
)
def encode_ignores_the_padding(subject: Subject) -> None:
    model = subject.build()
    for m in subject.modalities:
        clean = encoded(model, subject.padded(), m)
        for garbage in (GARBAGE, NOT_FINITE):
            dirty = encoded(model, subject.padded(garbage=garbage), m)
            rows = _valid(subject, m, clean)
            same = torch.equal(clean.indices[rows], dirty.indices[rows])
            same &= close(clean.general[rows], dirty.general[rows])
            require(same, f"{garbage} in the padding of '{m}' changes its codes")


@check(
    why="the codes of a clip must not depend on how far it is padded",
    fix="let valid steps see valid steps only",
)
def padding_is_as_good_as_cutting(subject: Subject) -> None:
    model, padded = subject.build(), subject.padded()
    for m in subject.modalities:
        whole = encoded(model, padded, m)
        for clip, length in enumerate(padded.masks[m].sum(1).tolist()):
            cut = model.encode_batch(m, padded.features[m][clip : clip + 1, :length])
            steps = slice(None, cut.indices.shape[1])
            same = torch.equal(cut.indices[0], whole.indices[clip, steps])
            require(same and close(cut.general[0], whole.general[clip, steps]), f"'{m}' of {length} steps")


@check(
    why="evaluation measures codes at several levels, which `levels` names",
    fix="take the keyword `level` in encode_batch for each name in `levels`, and refuse others",
)
def levels_can_be_encoded(subject: Subject) -> None:
    model = subject.build()
    if not model.levels:
        raise Skipped("the method has one level")
    m = subject.modalities[0]
    for level in model.levels:
        made = encoded(model, subject.batch(), m, level=level)
        require(made.indices.shape[1] in (1, 6), f"level '{level}' has {made.indices.shape[1]} of 6 steps")
    with refusing("a level that does not exist", "surely_no_level"):
        encoded(model, subject.batch(), m, level="surely_no_level")


@check(
    why="a typing error should give a line that names it",
    fix="call unicode_cmg.batch.check_features first",
)
def encode_refuses_an_unknown_modality(subject: Subject) -> None:
    model, batch = subject.build(), subject.batch()
    with refusing("an unknown modality", "surely_no_modality"):
        model.encode_batch("surely_no_modality", batch.features[subject.modalities[0]])


@check(
    why="features of another extractor should give a line that says what was expected",
    fix="call unicode_cmg.batch.check_features first",
)
def encode_refuses_features_of_another_shape(subject: Subject) -> None:
    model, batch = subject.build(), subject.batch()
    for m in subject.modalities:
        x = batch.features[m]
        with refusing(f"'{m}' with a channel too many"):
            model.encode_batch(m, torch.cat([x, x[..., :1]], dim=-1))
        with refusing(f"'{m}' without steps"):
            model.encode_batch(m, x[:, :0])


@check(
    why="a user may work in float64 or, on a GPU, in bfloat16",
    fix="create tensors in the dtype and on the device of what they meet",
)
def encode_follows_the_dtype_of_the_model(subject: Subject) -> None:
    for dtype in (torch.float64, torch.bfloat16):
        model, batch = subject.build().to(dtype), subject.batch().to("cpu", dtype)
        for m in subject.modalities:
            made = encoded(model, batch, m)
            require(made.codes.isfinite().all(), f"'{m}' in {dtype} has codes that are not finite")


def _only(batch: FeatureBatch, clips: list[int]) -> FeatureBatch:
    return FeatureBatch(
        {m: x[clips] for m, x in batch.features.items()}, {m: x[clips] for m, x in batch.masks.items()}
    )


def _valid(subject: Subject, modality: str, made: Encoding) -> Tensor:
    """Where codes of `subject.padded()` are valid."""
    mask = subject.padded().masks[modality]
    return mask if made.indices.shape[1] == mask.shape[1] else mask.any(1, keepdim=True)
