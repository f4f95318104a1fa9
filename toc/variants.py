"""Named options: the papers' definition, and what their released scripts compute instead."""

from __future__ import annotations

from typing import Any

from toc.errors import CodebookError

DIVISORS = ("H^2", "H(H-1)")
ONLY_BEST = "1:0"

_AS_RELEASED = {"normalize": False, "divisor": "H(H-1)", "ddof": 1}
VARIANTS: dict[str, dict[str, Any]] = {
    "paper": {"normalize": True, "divisor": "H^2", "ddof": 0},
    "released": _AS_RELEASED,
    "released-similarity": {**_AS_RELEASED, "lam": 0.0},
    "released-1:1": {**_AS_RELEASED, "ratio": "1:1"},
    "released-3:1": {**_AS_RELEASED, "ratio": "3:1"},
}
"""Options of `optimize` and `TOCSelector` by name: `optimize(codebook, 128, **VARIANTS["released"])`.

- `"paper"`: both papers (they rank alike, see `toc_scores`).
- `"released"`: the AVE script of the FCID paper and every script of the TOC paper (DCID and H-DCID).
- `"released-similarity"`: the AVVP, AVE -> AVVP and UCF <-> VGGSound scripts of the FCID paper, which leave
  the variance out.
- `"released-1:1"`, `"released-3:1"`: `"released"` with the worst dimensions kept too, as the TOC paper's
  runs on AVE and AVVP ask for; see `best_and_worst_dims`.

`toc_scores` takes the same options but for `ratio`, which has no part in scoring.
"""


def variant_name(options: dict[str, Any]) -> str:
    """The name of a combination of `lam`, `normalize`, `divisor`, `ddof` and `ratio`, or `"custom"`.

    A variant that fixes `lam` goes before one that leaves it free.
    """
    free = {"lam": options["lam"], "ratio": ONLY_BEST}
    matching = [name for name, fixed in VARIANTS.items() if {**free, **fixed} == options]
    return max(matching, key=lambda name: "lam" in VARIANTS[name], default="custom")


def parse_ratio(ratio: str) -> tuple[int, int]:
    """The two numbers of a ratio of best to worst dimensions such as `"3:1"`.

    Raises:
        CodebookError: It is not two whole numbers, or both are 0.
    """
    parts = ratio.split(":") if isinstance(ratio, str) else []
    if len(parts) != 2 or not all(part.isdecimal() for part in parts) or not any(map(int, parts)):
        raise CodebookError(f"ratio is {ratio!r}; expected best:worst, such as '1:0' or '3:1'")
    return int(parts[0]), int(parts[1])
