"""`check_method`: our own methods keep every promise, and for each check there is a method that breaks it."""

from __future__ import annotations

import copy
from typing import Any

import broken_training
import pytest
import torch
from tiny_models import IMAGE, QUANTIZERS, SPEECH, TOUCH, WORDS, values_of

from unicode_cmg.errors import InputError
from unicode_cmg.methods import method_class
from unicode_cmg.methods.dcid import DCID, DCIDConfig
from unicode_cmg.registry import METHODS
from unicode_cmg.testing import CHECKS, MethodCheckError, check_method, method_checks

TWO = values_of("dcid", {"speech": SPEECH, "touch": TOUCH})
THREE: dict[str, Any] = {"speech": SPEECH, "image": IMAGE, "words": WORDS}
OURS = {
    "dcid": ("dcid", THREE, {}),
    "dcid rvq": ("dcid", {"speech": SPEECH, "touch": TOUCH}, {"codebook": QUANTIZERS["rvq"]}),
    "dcid fsq": ("dcid", {"speech": SPEECH, "touch": TOUCH}, {"codebook": QUANTIZERS["fsq"]}),
    "hdcid": ("hdcid", {"speech": SPEECH, "words": WORDS}, {"standardize_deeper": True}),
    "fcid": ("fcid", THREE, {"fine": ["speech", "image"], "coarse": ["words"]}),
    "hdcid paper": ("hdcid", {"speech": SPEECH, "touch": TOUCH}, {"fidelity": "paper"}),
    "fcid coarse": ("fcid", {"speech": SPEECH, "touch": TOUCH}, {"fine": [], "coarse": ["speech", "touch"]}),
}


def test_there_are_checks_with_a_reason_and_a_remedy() -> None:
    assert len(CHECKS) >= 40
    for name, check in CHECKS.items():
        assert name == check.name
        assert check.why
        assert check.fix
        assert not {check.why[-1], check.fix[-1]} & set(". ")


@pytest.mark.slow
@pytest.mark.parametrize("name", OURS)
def test_our_methods_keep_every_promise(name: str) -> None:
    method, modalities, options = OURS[name]
    report = check_method(method_class(method), values_of(method, modalities, **options))
    assert set(report.skipped) <= {
        "levels_can_be_encoded",
        "a_step_runs_on_a_gpu",
        "codes_are_the_codewords_of_their_indices",
        "indices_are_the_nearest_codewords",
        "updates_move_the_codebooks",
    }
    assert set(report.passed) | set(report.skipped) == set(CHECKS)


def test_the_global_random_state_is_left_as_it_was() -> None:
    before = torch.get_rng_state()
    check_method(DCID, TWO, only=["losses_are_named_scalars", "seed_decides_the_first_parameters"])
    assert torch.equal(before, torch.get_rng_state())


def test_checks_can_be_the_cases_of_a_parametrized_test() -> None:
    cases = method_checks(DCID, TWO)
    assert list(cases) == list(CHECKS)
    assert cases["encode_is_deterministic"]().passed == ("encode_is_deterministic",)


def test_a_wrong_name_and_features_of_unknown_shape_are_named() -> None:
    with pytest.raises(InputError, match=r"unknown check 'encode_is_deterministik'.*did you mean"):
        check_method(DCID, TWO, only=["encode_is_deterministik"])

    class Shapeless(DCID):
        config_class = type("ShapelessConfig", (DCIDConfig,), {"__annotations__": {}})

    values = {**TWO, "modalities": {m: dict(spec) for m, spec in TWO["modalities"].items()}}
    report = check_method(
        Shapeless, values, shapes={"speech": (5,), "touch": (3,)}, only=["encode_is_deterministic"]
    )
    assert report.passed


@pytest.mark.parametrize("name", [name for name in CHECKS if name != "a_step_runs_on_a_gpu"])
def test_every_check_can_fail(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = broken_training.BROKEN[name]()
    monkeypatch.setitem(METHODS, "odd", (__name__, "CURRENT"))
    monkeypatch.setattr(f"{__name__}.CURRENT", made, raising=False)
    with pytest.raises(MethodCheckError) as caught:
        check_method(made, copy.deepcopy(TWO), only=[name])
    (text,) = caught.value.failures.values()
    assert f". Why it matters: {CHECKS[name].why}. How to fix it: {CHECKS[name].fix}." in text
    assert str(caught.value).startswith(f"{made.__name__} fails 1 of {len(CHECKS)} checks\n{name}: ")
