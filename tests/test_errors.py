"""Errors for users say what, where, what was expected and how to mend it, in one line."""

from __future__ import annotations

import math

import pytest

from unicode_cmg.errors import InputError, at_least, did_you_mean, one_of, positive, unknown


def test_an_unknown_name_is_told_with_the_known_ones_and_the_nearest() -> None:
    error = unknown("modality", "adio", ["text", "audio"], where="batch")
    assert str(error) == (
        "batch: unknown modality 'adio'; expected one of text, audio; did you mean 'audio'?"
    )


def test_where_nothing_is_known_nothing_is_suggested() -> None:
    assert did_you_mean("audio", []) is None
    assert str(unknown("layer", "x", [])) == "unknown layer 'x'"


def test_the_first_setting_that_is_no_option_is_named() -> None:
    one_of("CLUB", ("paper", "released"), form="paper")
    with pytest.raises(InputError, match=r"^CLUB: form is 'papers'; expected 'paper' or 'released'$"):
        one_of("CLUB", ("paper", "released"), first="paper", form="papers")


@pytest.mark.parametrize(("value", "told"), [(0, "0"), (-1.5, "-1.5"), (math.nan, "nan")])
def test_a_setting_that_is_too_small_or_no_number_is_named(value: float, told: str) -> None:
    at_least("Heads", 1, width=1, depth=1.0)
    with pytest.raises(InputError, match=rf"^Heads: depth is {told}; expected at least 1$"):
        at_least("Heads", 1, width=1, depth=value)
    positive("Heads", width=1, depth=1e-9)
    with pytest.raises(InputError, match=rf"^Heads: depth is {told}; expected a positive number$"):
        positive("Heads", width=1, depth=value)
