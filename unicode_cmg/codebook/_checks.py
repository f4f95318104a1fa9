"""What a codebook refuses, before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from unicode_cmg.errors import InputError


def check_settings(
    *,
    num_codes: int,
    dim: int,
    modalities: Sequence[str],
    rule: str,
    decay: float,
    epsilon: float,
    own_weight: float,
    revive_after: int | None,
    init: str,
) -> None:
    """Refuse settings of a `SharedCodebook` that are out of range.

    Raises:
        InputError: One of them is.
    """
    names = ", ".join(modalities)
    for what, fine, expected in (
        (f"num_codes is {num_codes}", num_codes >= 1, "at least 1"),
        (f"dim is {dim}", dim >= 1, "at least 1"),
        ("there are no modalities", len(modalities) > 0, "at least one name"),
        (f"modalities are {names}", len(set(modalities)) == len(modalities), "different names"),
        (f"rule is '{rule}'", rule in ("corrected", "released"), "'corrected' or 'released'"),
        (f"decay is {decay}", 0 <= decay < 1, "a number in [0, 1)"),
        (f"epsilon is {epsilon}", epsilon > 0, "a positive number"),
        (f"own_weight is {own_weight}", 0 <= own_weight <= 1, "a number in [0, 1]"),
        (f"revive_after is {revive_after}", revive_after is None or revive_after >= 1, "at least 1, or none"),
        (f"init is '{init}'", init in ("uniform", "data"), "'uniform' or 'data'"),
        (
            "init is 'data' under the released rule",
            init == "uniform" or rule == "corrected",
            "init 'uniform', as released, or the corrected rule",
        ),
    ):
        if not fine:
            raise InputError(what, where="SharedCodebook", expected=expected)


def check_batch(features: Mapping[str, Tensor], modalities: Sequence[str], *, aligned: bool) -> list[str]:
    """The modalities of a batch, in the codebook's order.

    Args:
        features: `[B, T, D]` by modality.
        modalities: Those the codebook was made for.
        aligned: Whether step t of one modality belongs to step t of the others, so that T must be the same.

    Raises:
        InputError: A modality is unknown, there is none, or their shapes differ.
    """
    where = "SharedCodebook.update"
    unknown = [m for m in features if m not in modalities]
    if unknown:
        raise InputError(
            f"unknown modality '{unknown[0]}'", where=where, expected=f"some of {', '.join(modalities)}"
        )
    names = [m for m in modalities if m in features]
    if not names:
        raise InputError("there are no features", where=where, expected="at least one modality")
    shapes = {m: list(features[m].shape[: 2 if aligned else 1]) for m in names}
    if any(shape != shapes[names[0]] for shape in shapes.values()):
        raise InputError(
            "modalities differ in batch or time: " + ", ".join(f"{m} {shape}" for m, shape in shapes.items()),
            where=where,
            expected="aligned features",
            fix="align them, or set own_weight to 1" if aligned else None,
        )
    return names
