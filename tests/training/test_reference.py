"""The page that lists every setting, against what complete configurations hold once they are parsed."""

from __future__ import annotations

import re
import runpy
from typing import Any

import pytest
import yaml
from places import DOCS

from unicode_cmg.config import Config, apply_overrides
from unicode_cmg.errors import InputError
from unicode_cmg.registry import METHODS as ALL_METHODS
from unicode_cmg.regularizers.registry import OURS
from unicode_cmg.training import PretrainConfig, reference

PAGE = (DOCS / "reference" / "configuration.md").read_text(encoding="utf-8")
MODALITIES = {"modalities": {"<name>": {"dim": 2}, "other": {"dim": 3}}}
METHODS: dict[str, dict[str, Any]] = {
    "dcid": MODALITIES,
    "fcid": {**MODALITIES, "fine": ["<name>", "other"]},
    "hdcid": MODALITIES,
}
SLOTS = {"teachers": {"<name>": {}}}
SECTIONS = (
    "Run",
    *(f"Method `{name}`" for name in METHODS),
    *(f"Regularizer `{name}`" for name in ("gram", "slot_alignment", "structure")),
)


def table(section: str) -> dict[str, tuple[str, str]]:
    """Key -> default and meaning."""
    (text,) = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", PAGE, flags=re.DOTALL | re.MULTILINE)
    rows = re.findall(r"^\| `(.+?)` \| (.*?) \| (.+) \|$", text, flags=re.MULTILINE)
    assert len({key for key, *_ in rows}) == len(rows)
    assert all(re.match("[a-zA-Z`]", meaning) for *_, meaning in rows)
    return {key: (default, meaning) for key, default, meaning in rows}


def parsed(section: str, *overrides: str) -> Config:
    """The settings of a section: as few as it can do with, and the overrides."""
    kind, _, name = section.replace("`", "").partition(" ")
    fewest = METHODS.get(name, SLOTS if name == "slot_alignment" else {})
    run: dict[str, Any] = {"method": {"name": "dcid", **MODALITIES}, "data": {"store": "s"}}
    if kind == "Run":
        return PretrainConfig.parse(apply_overrides(run, overrides), where="test")
    settings = {"name": name, **apply_overrides(fewest, overrides)}
    if kind == "Method":
        return PretrainConfig.parse({**run, "method": settings}, where="test").method.settings
    return PretrainConfig.parse({**run, "regularizers": [settings]}, where="test").regularizers[0].settings


def complete(section: str, *overrides: str) -> dict[str, Any]:
    """Every setting under its dotted key."""

    def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
        found = {}
        for key, value in values.items():
            nested = isinstance(value, dict) and value and prefix + key != "method"
            found |= flat(value, f"{prefix}{key}.") if nested else {prefix + key: value}
        return found

    settings = flat(parsed(section, *overrides).model_dump(mode="json"))
    return {key: value for key, value in settings.items() if not key.startswith("modalities.other")}


def test_the_page_is_what_the_command_writes_and_has_a_section_for_each_method_and_regularizer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for registered in (ALL_METHODS, OURS):
        for name, (module, *_) in list(registered.items()):
            if not module.startswith("unicode_cmg."):  # of another test
                monkeypatch.delitem(registered, name)
    runpy.run_path(reference.__file__, run_name="__main__")
    assert capsys.readouterr().out == PAGE
    assert re.findall(r"^## (.*)", PAGE, flags=re.MULTILINE) == list(SECTIONS)


@pytest.mark.parametrize("section", SECTIONS)
def test_a_complete_configuration_has_the_listed_settings_with_the_listed_defaults(section: str) -> None:
    rows = table(section)
    for fidelity in ("corrected", "released", "paper"):
        settings = complete(section, *([f"fidelity={fidelity}"] if section.startswith("Method") else []))
        assert list(rows) == list(settings)
        for key, (default, _) in rows.items():
            chosen = {name: text for text, name in re.findall(r"(\[.*?\]|\S+) \((\w+)\)", default)}
            if default != "required" and key not in ("fidelity", "fine"):
                assert yaml.safe_load(chosen.get(fidelity, default)) == settings[key], key


def test_only_what_cannot_be_left_out_is_required() -> None:
    required = {s: {key for key, (told, _) in table(s).items() if told == "required"} for s in SECTIONS}
    for section, keys in required.items():
        settings = {"modalities.<name>.dim"} if section.startswith("Method") else set()
        assert keys == ({"method", "data.store"} if section == "Run" else settings)
    method = {"name": "dcid", **MODALITIES}
    for values, missing in (
        ({"data": {"store": "s"}}, "'method' is missing"),
        ({"method": method, "data": {}}, "'data.store' is missing"),
        ({"method": {**method, "modalities": {"a": {}, "b": {}}}}, "'modalities.a.dim' is missing"),
    ):
        with pytest.raises(InputError, match=missing):
            PretrainConfig.parse(values, where="test")


@pytest.mark.parametrize("section", SECTIONS)
def test_the_listed_choices_are_those_there_are(section: str) -> None:
    for key, (_, meaning) in table(section).items():
        choices = re.search(r" \((`[^()]*`)\)$", meaning)
        if choices is not None and key != "loss_weights":
            with pytest.raises(InputError) as caught:
                parsed(section, f"{key}=no such choice")
            assert re.findall(r"'([^']+)'", str(caught.value).split("expected", 1)[1]) == re.findall(
                r"`([^`]+)`", choices[1]
            )
