"""Every command that the documentation shows can be typed as it stands there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer
import yaml

import cli

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def _commands(page: Path) -> list[list[str]]:
    """Arguments of each `unicode-cmg …` in a code block or in inline code."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```(?:sh|bash|console)?\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    lines += re.findall(
        r"`(unicode-cmg [^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    )
    found = []
    for line in lines:
        for part in line.split("&&"):
            words = shlex.split(part, comments=True)
            if words and Path(words[0]).name == "unicode-cmg":
                found.append(words[1:])
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


def test_the_documentation_shows_every_command() -> None:
    shown = {arguments[0] for page, arguments in CASES if page.name == "README.md"}
    command = typer.main.get_command(cli.app)
    context = command.make_context("unicode-cmg", ["report", "x"])
    assert shown == set(command.list_commands(context))


def test_a_command_that_does_not_exist_is_noticed() -> None:
    with pytest.raises(typer.TyperException):
        _parse(["quickstart", "--loudly"])


@pytest.mark.parametrize("heading", ["Run it", "Test it"])
def test_the_readme_has_one_line_to_run_under(heading: str) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    blocks = re.findall(r"^```sh\n(.*?)^```", section, flags=re.DOTALL | re.MULTILINE)
    assert len(blocks) == 1
    assert len(blocks[0].splitlines()) == 1
    assert "-c constraints.txt" in blocks[0]


def test_shipped_configs_say_how_to_run_them() -> None:
    for config in (ROOT / "benchmarks").glob("*.yaml"):
        text = config.read_text(encoding="utf-8")
        assert "unicode-cmg" in text
        assert yaml.safe_load(text)["method"]["name"]
