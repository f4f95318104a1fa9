"""Every command that the documentation shows can be typed as it stands there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer
from guide_pages import code_blocks
from places import ROOT, SHIPPED

import cli
from benchmarks.sweep import load_sweep
from unicode_cmg.config import load_yaml
from unicode_cmg.extract.settings import ExtractSettings
from unicode_cmg.training import PretrainConfig

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def _commands(page: Path) -> list[list[str]]:
    """Arguments of each `unicode-cmg …` in a code block or in inline code."""
    text = page.read_text(encoding="utf-8")
    fences = re.findall(r"^```(\w*)\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    blocks = [body for language, body in fences if language in ("", "sh", "bash", "console")]
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    lines += re.findall(
        r"`(unicode-cmg [^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    )
    found = []
    for line in lines:
        for part in line.split("&&"):
            words = shlex.split(part, comments=True)
            if words and Path(words[0]).name == "unicode-cmg":
                found.append(words[1 : words.index(">") if ">" in words else None])
    return found


CASES = [(page, arguments) for page in PAGES for arguments in _commands(page)]


def _parse(arguments: list[str]) -> None:
    """Read the arguments as the command line does; a bare name, as in running text, only has to exist."""
    command = typer.main.get_command(cli.app)
    context = command.make_context("unicode-cmg", list(arguments))
    while hasattr(command, "resolve_command"):
        name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        if rest or hasattr(command, "resolve_command"):
            context = command.make_context(name, rest, parent=context)


@pytest.mark.parametrize(
    ("page", "arguments"), CASES, ids=[f"{page.name}: {' '.join(arguments)}" for page, arguments in CASES]
)
def test_a_documented_command_parses(page: Path, arguments: list[str]) -> None:
    _parse(arguments)


def test_the_page_of_commands_shows_every_command() -> None:
    command = typer.main.get_command(cli.app)
    names = set(command.list_commands(command.make_context("unicode-cmg", ["report", "x"])))
    shown = {
        next(name for name in (" ".join(arguments[:2]), arguments[0]) if name in names)
        for page, arguments in CASES
        if page.name == "commands.md"
    }
    assert shown == names


def test_a_command_that_does_not_exist_is_noticed() -> None:
    with pytest.raises(typer.TyperException):
        _parse(["quickstart", "--loudly"])


@pytest.mark.parametrize("heading", ["Run it", "Test it"])
def test_the_readme_has_one_line_to_run_under(heading: str) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    blocks = code_blocks(section, "sh")
    assert len(blocks) == 1
    assert len(blocks[0].splitlines()) == 1
    assert "-c constraints.txt" in blocks[0]


CONFIGS = sorted(
    path
    for folder in ("benchmarks", "configs", "unicode_cmg")
    for path in (ROOT / folder).rglob("*.yaml")
    if path.parent.name not in ("sweeps", "printed_numbers", "recipes")
)
RECIPES = sorted((ROOT / "unicode_cmg").rglob("recipes/*.yaml"))
SWEEPS = sorted((ROOT / "configs").rglob("sweeps/*.yaml"))


def _header(path: Path) -> str:
    """The comment at the top of a file."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines[: next(i for i, x in enumerate(lines) if x[:1] != "#")])


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_shipped_config_is_valid_and_says_how_to_run_it(path: Path) -> None:
    PretrainConfig.parse(load_yaml(path), where=path)
    commands = [words for line in _header(path).splitlines() if (words := _command_in(line))]
    named = path.stem if path.parent == SHIPPED else str(path.relative_to(ROOT))
    assert any(named in words for words in commands)
    assert "reproduces:" in _header(path)
    for words in commands:
        _parse(words)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_of_extraction_says_how_to_run_it(path: Path) -> None:
    ExtractSettings.load(path)
    header = _header(path).replace("\\\n#", "")
    (command,) = [words for line in header.splitlines() if (words := _command_in(line))]
    assert path.stem in command
    _parse(command)


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_shipped_sweep_is_valid_and_says_how_to_run_it(path: Path) -> None:
    _, rows = load_sweep(path)
    assert len({row.name for row in rows}) == len(rows) > 1
    assert f"python -m benchmarks.sweep {path.relative_to(ROOT)}" in _header(path) or (
        "python -m benchmarks.experiments.released" in _header(path)
    )
    assert "reproduces:" in _header(path)


def _command_in(line: str) -> list[str]:
    """Arguments of a `unicode-cmg …` at the end of a comment."""
    _, found, rest = line.partition("unicode-cmg ")
    return shlex.split(rest) if found else []
