"""Pages of the documentation as tests follow them: their code blocks, and the packages that they show."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest


def code_blocks(page: str, language: str) -> list[str]:
    """The code blocks of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)


@contextmanager
def installed_example(page: str, site: Path, more: Sequence[str] = ()) -> Iterator[None]:
    """With the module of a page, its first block of Python, on the path, and the metadata of its TOML.

    Args:
        page: The text of the page.
        site: Folder for the module.
        more: Lines to add to its last group of entry points.
    """
    (toml,) = code_blocks(page, "toml")
    project = tomllib.loads(toml)
    name, version = project["project"]["name"], project["project"]["version"]
    (module,) = project["tool"]["setuptools"]["py-modules"]
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (site / f"{module}.py").write_text(code_blocks(page, "python")[0], encoding="utf-8")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = [
        line
        for group, points in project["project"]["entry-points"].items()
        for line in (f"[{group}]", *(f"{key} = {value}" for key, value in points.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join([*lines, *more]) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(site))
        yield
    sys.modules.pop(module, None)
