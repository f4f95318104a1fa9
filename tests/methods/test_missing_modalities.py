"""Clips that lack modalities: the losses are those of a loop over what is there, and nothing else counts."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import IMAGE, QUANTIZERS, SPEECH, WORDS, batch_of, losses_of, model_of
from torch import Tensor
from torch.nn import functional

from unicode_cmg.batch import FeatureBatch
from unicode_cmg.losses import cmcm_loss, info_nce
from unicode_cmg.losses.cpc import cpc_losses
from unicode_cmg.methods.dcid import Draws

THREE = {"speech": SPEECH, "image": IMAGE, "words": WORDS}
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "dcid": ("dcid", {}),
    "hdcid": ("hdcid", {"standardize_deeper": True}),
    "fcid": ("fcid", {"fine": ["speech", "image"], "coarse": ["words"]}),
    "fcid coarse": ("fcid", {"fine": [], "coarse": ["speech", "image", "words"]}),
}
CLIPS, STEPS = 7, 4
PRESENT = {  # `speech` and `words` meet in two clips, the last clip has a single modality
    "speech": [1, 1, 1, 0, 1, 0, 0],
    "image": [1, 0, 1, 1, 1, 1, 0],
    "words": [0, 1, 1, 1, 0, 1, 1],
}
NEVER_TOGETHER = {**PRESENT, "speech": [1, 0, 0, 0, 1, 0, 0]}
NO_WORDS = {"speech": [1, 1, 1, 0, 1, 1, 1], "image": [1, 0, 1, 1, 1, 1, 0], "words": [0] * 7}
GARBAGE = (torch.nan, torch.inf, 1e300, -torch.inf, 7.0)
every_method = pytest.mark.parametrize("name", METHODS)
every_quantizer = pytest.mark.parametrize("quantizer", QUANTIZERS)
every_pattern = pytest.mark.parametrize(
    "present", [PRESENT, NEVER_TOGETHER, NO_WORDS], ids=["some missing", "a pair never occurs", "one never"]
)


def build(name: str, quantizer: str = "mm_ema", **changes: Any) -> Any:
    method, options = METHODS[name]
    codebook = {**QUANTIZERS[quantizer], **({} if quantizer == "fsq" else {"init": "data"})}
    if changes.pop("each_for_itself", False) and quantizer == "mm_ema":
        codebook["assignment"] = "own"
    options = {**options, "codebook": codebook, "dropout": 0.0, **changes}
    if options.get("fidelity") == "released":
        options["codebook"] = QUANTIZERS[quantizer]
    return model_of(method, THREE, **options).double()


def partial(batch: FeatureBatch, present: dict[str, list[int]], *garbage: float) -> FeatureBatch:
    """The batch without the modalities that clips lack; `garbage`, or zeros, stands in their place."""
    features, masks = {}, {}
    for m, x in batch.features.items():
        there = torch.tensor(present[m], dtype=torch.bool)
        masks[m] = there.unsqueeze(1).expand(x.shape[:2]).contiguous()
        waste = torch.tensor(garbage or (0.0,), dtype=x.dtype)
        waste = waste.repeat(x.numel() // len(waste) + 1)[: x.numel()].view_as(x)
        features[m] = torch.where(there.view(-1, *[1] * (x.ndim - 1)), x, waste)
    return FeatureBatch(features, masks)


def noise(model: Any) -> FeatureBatch:
    return batch_of(model, clips=CLIPS, steps=STEPS).to("cpu", torch.float64)


def everything(model: Any, batch: FeatureBatch) -> dict[str, Tensor]:
    """Losses, gradients, the critics' too, statistics, and the state after an update of the codebooks."""
    model.zero_grad()
    r = model.represent(batch)
    critics, losses = model.critic_losses(r), losses_of(model, batch, representation=r)
    sum((*critics.values(), *losses.values())).backward()
    found = {**critics, **losses}
    found |= {f"gradient of {k}": p.grad.clone() for k, p in model.named_parameters() if p.grad is not None}
    found |= {k: torch.tensor(value) for k, value in model.codebook_statistics(r).items()}
    moved = copy.deepcopy(model)
    for _ in range(3):  # residual codebooks are placed one after the other
        moved.update_codebooks(r, generator=torch.Generator().manual_seed(0))
    found |= {f"state of {key}": value for key, value in moved.state_dict().items()}
    return {key: value.detach() for key, value in found.items()}


@every_pattern
@every_quantizer
@every_method
def test_what_stands_in_the_place_of_a_missing_modality_changes_nothing(
    name: str, quantizer: str, present: dict[str, list[int]]
) -> None:
    model = build(name, quantizer)
    clean, dirty = (everything(model, partial(noise(model), present, *garbage)) for garbage in ((), GARBAGE))
    for key, value in clean.items():
        if "/perplexity/" not in key and "/agreement/" not in key:
            assert value.isfinite().all(), key
        assert torch.equal(value.nan_to_num(-1), dirty[key].nan_to_num(-1)), key


@every_method
def test_the_released_losses_and_rule_do_without_what_is_missing(name: str) -> None:
    model = build(name, fidelity="released")
    for present in (NEVER_TOGETHER, NO_WORDS):
        clean = everything(model, partial(noise(model), present))
        dirty = everything(model, partial(noise(model), present, *GARBAGE))
        for key, value in clean.items():
            assert torch.equal(value.nan_to_num(-1), dirty[key].nan_to_num(-1)), key
            assert value.isfinite().all() or "/perplexity/" in key or "/agreement/" in key, key


class Loop:
    """The terms of a batch from the clips that are there, one modality and one pair after the other.

    It knows no masks: each term is that of a batch of the clips that have what the term is about.
    """

    def __init__(self, model: Any, batch: FeatureBatch, present: dict[str, list[int]]) -> None:
        self.model, self.whole, self.config = model, batch, model.config
        self.present = {m: torch.tensor(there).nonzero()[:, 0].tolist() for m, there in present.items()}

    def clips(self, *modalities: str) -> list[int]:
        return sorted(set.intersection(*(set(self.present[m]) for m in modalities)))

    def batch(self, *modalities: str) -> FeatureBatch:
        rows = self.clips(*modalities)
        return FeatureBatch.of({m: x[rows] for m, x in self.whole.features.items()})

    def representation(self, *modalities: str) -> Any:
        return self.model.represent(self.batch(*modalities))

    def negatives(self, order: list[int], *modalities: str) -> Tensor:
        """Positions among the clips with a modality, in the order in which they are named."""
        rows = self.clips(*modalities)
        return torch.tensor([rows.index(clip) for clip in order if clip in rows])

    def commitment(self, m: str, layer: int, others: list[str]) -> Tensor:
        def error(n: str) -> Tensor:
            if not self.clips(m, n):
                return torch.zeros(())
            r = self.representation(m, n)
            made = self._layer(r, layer)
            return functional.mse_loss(made.general[m], self._quantized(r, layer)[n].codewords)

        cross = sum(error(n) for n in others) / len(others)
        return self.config.commitment_own * error(m) + self.config.commitment_cross * cross

    def cpc(self, cpc: Any, step: int, layer: int = 0) -> Tensor:
        total = torch.zeros((), dtype=torch.float64)
        for n, m in itertools.product(cpc.modalities, repeat=2):
            if not self.clips(n, m):
                continue
            made = self._layer(self.representation(n, m), layer)
            general = {k: made.general[k] for k in dict.fromkeys((n, m))}
            targets, predictions, _, others = cpc._predict(general, None, range(step, step + 1))
            losses, _ = cpc_losses(targets, predictions, None, cpc.normalize, others)
            total = total + (losses[0, 0] * cpc.self_weight if n == m else losses[0, 1])
        return total

    def cmcm(self, names: tuple[str, ...], layer: int = 0) -> Tensor:
        total = torch.zeros((), dtype=torch.float64)
        for a, b in itertools.combinations(names, 2):
            if self.clips(a, b):
                made = self._quantized(self.representation(a, b), layer)
                (one,), (two,) = made[a].lookups, made[b].lookups
                pair = {a: one.squared_distances, b: two.squared_distances}
                total = total + cmcm_loss(pair, form=self.config.cmcm_form)
        return total

    def _quantized(self, representation: Any, layer: int) -> Any:
        return (representation[layer] if isinstance(representation, tuple) else representation).quantized

    def _layer(self, representation: Any, layer: int) -> Any:
        if isinstance(representation, tuple):
            return representation[layer]
        return getattr(representation, "coded", representation)


def compare(model: Any, batch: FeatureBatch, draws: Any, expected: dict[str, Tensor]) -> None:
    """Values and gradients of every term, in float64 to nine digits."""
    found = model.training_losses(batch, generator=torch.Generator(), draws=draws)
    assert set(found) == set(expected)
    for term in found:
        torch.testing.assert_close(found[term], expected[term].double(), rtol=1e-9, atol=1e-12, msg=term)
    weights = {
        term: torch.rand((), generator=torch.Generator().manual_seed(k)) for k, term in enumerate(found)
    }
    parameters = [p for p in model.parameters() if p.requires_grad]
    gradients = [
        torch.autograd.grad(sum(weights[t] * terms[t] for t in terms), parameters, allow_unused=True)
        for terms in (found, expected)
    ]
    for parameter, ours, theirs in zip(parameters, *gradients, strict=True):
        ours, theirs = (torch.zeros_like(parameter) if g is None else g for g in (ours, theirs))
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("fidelity", ["corrected", "released"])
@pytest.mark.parametrize("present", [PRESENT, NEVER_TOGETHER])
@pytest.mark.parametrize("name", ["dcid", "hdcid"])
def test_every_term_of_dcid_is_that_of_a_loop_over_the_clips_that_are_there(
    name: str, present: dict[str, list[int]], fidelity: str
) -> None:
    changes = {"cmcm_form": fidelity} if name == "hdcid" else {}
    model = build(name, fidelity=fidelity, each_for_itself=fidelity == "corrected", **changes)
    whole, step = noise(model), 1
    loop = Loop(model, whole, present)
    layers = list(model.layers) if name == "hdcid" else [model.layer]
    order = torch.randperm(CLIPS, generator=torch.Generator().manual_seed(3))
    draws = [Draws(dict.fromkeys(THREE, order), step) for _ in layers]
    expected: dict[str, Tensor] = {}
    for k, layer in enumerate(layers):
        deeper = f"/layer{k}" if k else ""
        for m in THREE:
            own = [Draws(dict.fromkeys(THREE, loop.negatives(order.tolist(), m)), step)] * len(layers)
            alone = model.training_losses(
                loop.batch(m), generator=torch.Generator(), draws=own if name == "hdcid" else own[0]
            )
            for kind in ("reconstruction", "club"):
                expected[f"{kind}{deeper}/{m}"] = alone[f"{kind}{deeper}/{m}"]
            others = [n for n in THREE if n != m]
            expected[f"commitment{deeper}/{m}"] = loop.commitment(m, k, others)
        expected[f"cpc{deeper}"] = loop.cpc(layer.cpc, step, k)
        expected[f"cmcm{deeper}"] = loop.cmcm(tuple(THREE), k)
    compare(model, partial(whole, present, *GARBAGE), draws if name == "hdcid" else draws[0], expected)


@pytest.mark.slow
@pytest.mark.parametrize("fidelity", ["corrected", "released"])
@pytest.mark.parametrize("present", [PRESENT, NEVER_TOGETHER])
def test_every_term_of_fcid_is_that_of_a_loop_over_the_clips_that_are_there(
    present: dict[str, list[int]], fidelity: str
) -> None:
    model = build("fcid", fidelity=fidelity, cmcm_form=fidelity, each_for_itself=fidelity == "corrected")
    whole, step = noise(model), 1
    loop = Loop(model, whole, present)
    order = torch.randperm(CLIPS, generator=torch.Generator().manual_seed(3))
    groups = model.config.groups
    orders = {
        group: torch.randperm(CLIPS * len(members), generator=torch.Generator().manual_seed(4))
        for group, members in groups.items()
    }
    expected: dict[str, Tensor] = {}
    none = {g: torch.arange(0) for g in groups}
    for m in THREE:
        rows = len(loop.clips(m))
        dummy = {g: torch.arange(rows * len(members)) for g, members in groups.items()}
        fine = dict.fromkeys(model.config.fine, loop.negatives(order.tolist(), m))
        alone = model.training_losses(
            loop.batch(m), generator=torch.Generator(), draws=Draws(none | dummy | fine, step)
        )
        kinds = ("reconstruction/fine", "club/fine") if m in model.config.fine else ()
        for kind in (*kinds, "reconstruction/coarse"):
            expected[f"{kind}/{m}"] = alone[f"{kind}/{m}"]
        expected[f"commitment/{m}"] = loop.commitment(m, 0, [n for n in THREE if n != m])
    for group, members in groups.items():
        made = [loop.representation(m).coarse for m in members]
        given_, summary = (
            torch.cat([getattr(r, field)[m] for r, m in zip(made, members, strict=True)]).flatten(0, 1)
            for field in ("general", "summary")
        )
        there = [k * CLIPS + clip for k, m in enumerate(members) for clip in loop.clips(m)]
        order_here = torch.tensor([there.index(k) for k in orders[group].tolist() if k in there])
        critic = model.coarse.critic[group]
        given_ = given_.detach() if fidelity == "corrected" else given_
        expected[f"club/coarse/{group}"] = critic.mutual_information(
            given_, summary, order_here, form="released" if fidelity == "released" else "paper"
        )
    for a, b in model.config.pairs:
        r = loop.representation(a, b).coarse if loop.clips(a, b) else None
        expected[f"info_nce/{a}-{b}"] = (
            torch.zeros(())
            if r is None
            else info_nce(
                r.general[a].flatten(0, 1),
                r.general[b].flatten(0, 1),
                model.config.temperature,
                symmetric=model.config.info_nce_symmetric,
            )
        )

    class Fine(Loop):
        def _layer(self, representation: Any, layer: int) -> Any:
            return representation.fine

    expected["cpc"] = Fine(model, whole, present).cpc(model.fine.cpc, step)
    expected["cmcm"] = loop.cmcm(tuple(model.codebook.modalities))
    draws = Draws({**orders, **dict.fromkeys(model.config.fine, order)}, step)
    compare(model, partial(whole, present, *GARBAGE), draws, expected)


@every_method
def test_a_modality_that_a_batch_lacks_costs_nothing_and_moves_nothing_of_its_own(name: str) -> None:
    model = build(name)
    found = everything(model, partial(noise(model), NO_WORDS, *GARBAGE))
    terms = [key for key in found if key.endswith(("/words", "-words", "words-", "/coarse/words"))]
    for term in terms:
        if "/perplexity/" in term or "/agreement/" in term:
            assert found[term].isnan()
        elif "state of" not in term and "gradient of" not in term:
            assert found[term] == 0, term
    own = [key for key in found if key.startswith("gradient of ") and ".words." in key]
    assert own
    assert all(not found[key].any() for key in own)


@every_method
def test_missing_clips_are_encoded_without_influence_of_what_stands_there(name: str) -> None:
    model = build(name).eval()
    batch = noise(model)
    for m, x in batch.features.items():
        mask = partial(batch, PRESENT).masks[m]
        rows = mask.any(1)
        clean, dirty = (
            model.encode(m, partial(batch, PRESENT, g).features[m], mask) for g in (0.0, torch.nan)
        )
        alone = model.encode(m, x[rows])
        assert dirty.codes.isfinite().all()
        assert torch.equal(clean.codes, dirty.codes)
        assert torch.equal(clean.indices[rows], alone.indices)
        torch.testing.assert_close(clean.general[rows], alone.general)


@pytest.mark.slow
@settings(max_examples=10, deadline=None)
@given(
    pattern=st.lists(st.lists(st.integers(0, 1), min_size=3, max_size=3), min_size=2, max_size=6),
    name=st.sampled_from(list(METHODS)),
    quantizer=st.sampled_from(list(QUANTIZERS)),
)
def test_any_pattern_of_absence_trains(pattern: list[list[int]], name: str, quantizer: str) -> None:
    model = build(name, quantizer)
    batch = batch_of(model, clips=len(pattern), steps=3).to("cpu", torch.float64)
    present = dict(zip(THREE, map(list, zip(*pattern, strict=True)), strict=True))
    found = everything(model, partial(batch, present, *GARBAGE))
    for key, value in found.items():
        assert value.isfinite().all() or "/perplexity/" in key or "/agreement/" in key, key
