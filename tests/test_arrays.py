"""`model.encode`: whatever arrays users have, in batches, without gradient; errors of one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.tiny_models import IMAGE, SPEECH, WORDS, model_of
from unicode_cmg.arrays import check_arrays
from unicode_cmg.errors import InputError

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(7, 6, 5))


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    return model_of("dcid", {"speech": SPEECH, "image": IMAGE}).eval()


FORMS = {
    "float16": FEATURES.astype(np.float16),
    "float32": FEATURES.astype(np.float32),
    "float64": FEATURES,
    "long double": FEATURES.astype(np.longdouble),
    "swapped bytes": FEATURES.astype(">f4"),
    "reversed twice": FEATURES[::-1].copy()[::-1],
    "columns first": np.asfortranarray(FEATURES),
    "torch double": torch.from_numpy(FEATURES),
    "torch half": torch.from_numpy(FEATURES).half(),
    "torch bfloat16": torch.from_numpy(FEATURES).bfloat16(),
    "with gradient": torch.from_numpy(FEATURES).requires_grad_(),
}


@pytest.mark.parametrize("form", FORMS)
def test_arrays_of_any_float_type_give_codes_without_gradient(model: Any, form: str) -> None:
    given = FORMS[form]
    encoding = model.encode("speech", given)
    as_floats = given.detach().float() if isinstance(given, torch.Tensor) else given.astype(np.float32)
    with torch.no_grad():
        expected = model.encode_batch("speech", torch.as_tensor(as_floats))
    assert torch.equal(encoding.indices, expected.indices)
    assert torch.equal(encoding.codes, expected.codes)
    assert encoding.codes.dtype == torch.float32
    assert not any(x.requires_grad for x in vars(encoding).values())


def test_a_read_only_memory_map_is_read_in_batches_and_gives_the_same_codes(
    model: Any, tmp_path: Path
) -> None:
    np.save(tmp_path / "x.npy", FEATURES)
    mask = np.arange(6) < np.array([6, 3, 1, 6, 2, 5, 0])[:, None]
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    one, many = (model.encode("speech", mapped, mask, batch_size=size) for size in (7, 2))
    assert many.indices.shape == (7, 6, 1)
    assert torch.equal(one.indices[mask], many.indices[mask])
    torch.testing.assert_close(one.general[mask], many.general[mask])


def test_a_model_in_training_is_evaluated_and_stays_in_training(model: Any) -> None:
    expected = model.eval().encode("speech", FEATURES)
    found = model.train().encode("speech", FEATURES)
    assert model.training
    assert model.layer.training
    assert torch.equal(found.codes, expected.codes)
    model.eval()


def test_encode_batch_keeps_the_graph(model: Any) -> None:
    x = torch.from_numpy(FEATURES).float().requires_grad_()
    model.encode_batch("speech", x).general.sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0


def test_a_model_in_double_precision_encodes_in_double_precision() -> None:
    model = model_of("dcid", {"speech": SPEECH, "words": WORDS}).double()
    found = model.encode("speech", FEATURES)
    assert found.general.dtype == torch.float64
    expected = model.eval().encode_batch("speech", torch.from_numpy(FEATURES)).general
    torch.testing.assert_close(found.general, expected.detach(), rtol=1e-10, atol=1e-10)


def test_options_of_a_method_pass_through_in_batches() -> None:
    layered = model_of("hdcid", {"speech": SPEECH, "words": WORDS})
    assert layered.encode("speech", FEATURES, code_layers=[1], batch_size=3).indices.shape == (7, 6, 1)
    levelled = model_of("fcid", {"speech": SPEECH, "words": WORDS}, fine=["speech", "words"])
    assert levelled.encode("speech", FEATURES, level="clip", batch_size=3).indices.shape == (7, 1, 1)


@pytest.mark.parametrize(
    ("features", "mask", "says"),
    [
        (FEATURES[0], None, r"shape \[6, 5\].*\[clips, steps, channels\].*features\[None\]"),
        (FEATURES[:0], None, r"shape \[0, 6, 5\]"),
        (FEATURES[..., :4], None, r"shape \[7, 6, 4\].*\[batch, time >= 1, 5\]"),
        (FEATURES.astype(int), None, "of type int64.*floats"),
        (FEATURES.astype(complex), None, "of type complex128"),
        (np.full((1, 2, 3), "a", object), None, "of type object"),
        (np.where(np.arange(7)[:, None, None] == 4, np.nan, FEATURES), None, "of clip 4 are NaN.*a mask"),
        (FEATURES * 1e300, None, "of clip 0 are NaN or infinite.*finite values of float32"),
        (FEATURES, np.ones((7, 5), bool), r"mask of 'speech' has the shape \[7, 5\].*\[7, 6\]"),
        (FEATURES, np.ones((7, 6)), "mask of 'speech' is of type float64.*booleans"),
    ],
)
def test_what_cannot_be_encoded_gives_one_line(model: Any, features: Any, mask: Any, says: str) -> None:
    with pytest.raises(InputError, match=says) as error:
        model.encode("speech", features, mask)
    assert "\n" not in str(error.value)


def test_lists_are_refused_as_features_and_as_a_mask() -> None:
    with pytest.raises(InputError, match=r"of type list.*numpy.asarray"):
        check_arrays("speech", FEATURES.tolist(), None)
    with pytest.raises(InputError, match="mask of 'speech' is of type list"):
        check_arrays("speech", FEATURES, [True])


def test_unknown_names_and_batches_without_clips_are_refused(model: Any) -> None:
    with pytest.raises(InputError, match=r"unknown modality 'speach'.*did you mean 'speech'"):
        model.encode("speach", FEATURES)
    with pytest.raises(InputError, match="batch_size"):
        model.encode("speech", FEATURES, batch_size=0)


def test_a_model_shows_itself_in_one_line(model: Any) -> None:
    line = repr(model)
    assert line.startswith("DCID(speech, image; codes: layer0 12; ")
    assert line.endswith(" parameters)")
    encoding = model.encode("speech", FEATURES)
    assert repr(encoding) == (
        "Encoding(general [7, 6, 8], codes [7, 6, 8], indices [7, 6, 1], unquantized [7, 6, 8])"
    )
