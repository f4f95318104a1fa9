"""Imports go one way, as docs/architecture.md draws them."""

from __future__ import annotations

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter

import pytest
from places import ROOT

FRONT_DOOR = "unicode_cmg"  # names `benchmarks` and `toc`, as no other module of its package but the commands
COMMANDS = "unicode_cmg.commands"  # belongs to `cli`
READERS = (  # read files of torch with the reader of `toc`
    "unicode_cmg.checkpoints.released.file",
    "unicode_cmg.data.sources.pickles",
)


@cache
def imports() -> dict[str, set[str]]:
    """Module -> modules of ours that it imports, anywhere in its file."""
    files = [
        ROOT / "cli.py",
        *(f for p in ("unicode_cmg", "toc", "benchmarks") for f in (ROOT / p).rglob("*.py")),
    ]
    modules = {
        ".".join(f.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): f for f in files
    }
    found: dict[str, set[str]] = {}
    for module, file in modules.items():
        named: set[str] = set()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                named |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                inside = {f"{node.module}.{alias.name}" for alias in node.names} & modules.keys()
                named |= inside or {node.module}
        found[module] = (named & modules.keys()) - {module}
    return found


def test_no_module_imports_itself_through_others() -> None:
    without_front_door = {module: names for module, names in imports().items() if module != FRONT_DOOR}
    try:
        TopologicalSorter(without_front_door).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize(
    ("below", "above"),
    [
        ("toc", ("unicode_cmg", "benchmarks", "cli")),
        ("unicode_cmg", ("toc", "benchmarks", "cli")),
        ("benchmarks", ("cli",)),
        ("benchmarks.evaluation", ("benchmarks.report", "benchmarks.sweep", "benchmarks.quickstart")),
        ("unicode_cmg.losses", ("unicode_cmg.methods", "unicode_cmg.training", "unicode_cmg.data")),
        ("unicode_cmg.layers", ("unicode_cmg.methods", "unicode_cmg.losses", "unicode_cmg.training")),
        ("unicode_cmg.codebook", ("unicode_cmg.methods", "unicode_cmg.losses", "unicode_cmg.training")),
        (
            "unicode_cmg.checkpoints",
            ("unicode_cmg.methods", "unicode_cmg.training", "unicode_cmg.regularizers"),
        ),
        ("unicode_cmg.methods", ("unicode_cmg.regularizers", "unicode_cmg.training", "unicode_cmg.data")),
        ("unicode_cmg.regularizers", ("unicode_cmg.methods", "unicode_cmg.training")),
    ],
)
def test_rooms_below_import_nothing_above(below: str, above: tuple[str, ...]) -> None:
    upward = {
        f"{module} -> {name}"
        for module, names in imports().items()
        if _inside(module, below) and module != FRONT_DOOR and not _inside(module, COMMANDS)
        for name in names
        if any(_inside(name, room) for room in above) and not (module in READERS and _inside(name, "toc"))
    }
    assert upward == set()


@pytest.mark.parametrize(
    ("room", "user"), [("benchmarks.experiments", "benchmarks.experiments"), (COMMANDS, "cli")]
)
def test_a_room_that_others_do_not_build_on_has_one_user(room: str, user: str) -> None:
    users = {module for module, names in imports().items() if any(_inside(name, room) for name in names)}
    assert {module for module in users if not _inside(module, user) and not _inside(module, room)} == set()


def _inside(module: str, room: str) -> bool:
    return module == room or module.startswith(f"{room}.")
