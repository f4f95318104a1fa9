from __future__ import annotations

import re

from guide_pages import code_blocks
from places import DOCS

from toc import VARIANTS

PAGE = (DOCS / "guide" / "toc.md").read_text(encoding="utf-8")
ABOUT_ARRAYS = PAGE[: PAGE.index("## Command line")]


def test_the_examples_about_arrays_run_one_after_another() -> None:
    names: dict[str, object] = {}
    blocks = code_blocks(ABOUT_ARRAYS, "python")
    assert len(blocks) == 5
    for block in blocks:
        exec(compile(block, "toc.md", "exec"), names)
    assert names["refined"].shape == (400, 128)  # type: ignore[attr-defined]
    assert names["anew"].shape == (8, 10, 128)  # type: ignore[attr-defined]


def test_every_variant_is_described() -> None:
    assert re.findall(r"^\| `([a-z0-9:-]+)` \|", ABOUT_ARRAYS, flags=re.MULTILINE) == list(VARIANTS)
