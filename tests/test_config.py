from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, model_validator

from unicode_cmg.config import Config, apply_overrides, load_yaml
from unicode_cmg.errors import InputError


class Inner(Config):
    rate: float = Field(default=0.1, gt=0)
    kind: str = "plain"


class Outer(Config):
    name: str
    inner: Inner = Inner()
    maybe: Inner | None = None
    table: dict[str, Inner] = Field(default_factory=dict)
    pair: list[int] = Field(default=[1, 2], min_length=2)

    @model_validator(mode="after")
    def _no_spaces(self) -> Outer:
        if " " in self.name:
            raise ValueError("'name' has a space; use a dash")
        return self


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "x.yaml: 'name' is missing; add it"),
        ({"name": "a", "iner": {}}, "x.yaml: unknown key 'iner'; did you mean 'inner'?"),
        ({"nam": "a"}, "x.yaml: unknown key 'nam'; did you mean 'name'?"),
        ({"name": "a", "inner": {"rat": 1}}, "x.yaml: unknown key 'inner.rat'; did you mean 'inner.rate'?"),
        ({"name": "a", "maybe": {"kid": 1}}, "x.yaml: unknown key 'maybe.kid'; did you mean 'maybe.kind'?"),
        (
            {"name": "a", "table": {"t": {"rat": 1}}},
            "x.yaml: unknown key 'table.t.rat'; did you mean 'table.t.rate'?",
        ),
        ({"name": "a", "inner": {"rate": -1}}, "x.yaml: 'inner.rate' is -1; expected greater than 0"),
        ({"name": "a", "inner": {"rate": float("nan")}}, "x.yaml: 'inner.rate' is nan; expected"),
        ({"name": "a", "inner": 3}, "x.yaml: 'inner' is 3; expected a group of settings"),
        ({"name": "a b"}, "x.yaml: 'name' has a space; use a dash"),
        ({"name": "a", "pair": [1]}, "x.yaml: 'pair' is [1]; expected at least 2 entries"),
        ([1], "x.yaml: a list at the top level; expected keys and values"),
    ],
)
def test_an_error_is_one_line_that_names_the_key(values: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        Outer.parse(values, where="x.yaml")
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_configuration_cannot_be_changed_after_it_was_checked() -> None:
    config = Outer.parse({"name": "a"}, where="x")
    with pytest.raises(ValueError, match="frozen"):
        config.name = "b"  # type: ignore[misc]


def test_numbers_in_the_short_form_that_yaml_reads_as_text_are_numbers(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("name: a\ninner: {rate: 4e-4}\n")
    assert Outer.parse(load_yaml(tmp_path / "c.yaml"), where="c").inner.rate == 4e-4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1, 2\nb: 3\n", "not valid YAML at line 2"),
        ("- 1\n- 2\n", "a list at the top level; expected keys and values"),
        ("just words\n", "a str at the top level"),
        ("", "the file is empty"),
        ("a: 1\nb: 2\na: 3\n", r"not valid YAML at line 3 \(the key 'a' is given twice\)$"),
        ("a: {b: 1, b: 2}\n", "the key 'b' is given twice"),
        ("a: !!python/object/apply:os.system ['true']\n", "not valid YAML at line 1"),
    ],
)
def test_a_broken_file_is_named_with_its_line(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        load_yaml(path)
    assert str(path) in str(caught.value)


def test_merge_keys_of_yaml_may_repeat_what_they_change(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("base: &base {a: 1, b: 2}\nother: {<<: *base, a: 3}\n")
    assert load_yaml(tmp_path / "c.yaml")["other"] == {"a": 3, "b": 2}


def test_a_missing_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none.yaml: no such file; check the path"):
        load_yaml(tmp_path / "none.yaml")


def test_overrides_reach_into_groups_and_leave_the_original_alone() -> None:
    values = {"a": {"b": 1, "c": [1]}, "d": None}
    changed = apply_overrides(values, ["a.b=2", "d.e=[x, y]", "f.g.h=true", "a.c="])
    assert changed == {"a": {"b": 2, "c": None}, "d": {"e": ["x", "y"]}, "f": {"g": {"h": True}}}
    assert values == {"a": {"b": 1, "c": [1]}, "d": None}


def test_a_value_may_contain_an_equals_sign() -> None:
    assert apply_overrides({}, ["a=b=c"]) == {"a": "b=c"}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("a.b", "cannot read 'a.b'; expected key.subkey=value"),
        ("=3", "cannot read '=3'"),
        ("a..b=3", "cannot read 'a..b=3'"),
        ("a.b=[1", "not valid YAML"),
        ("x.y=1", "'x' holds a value, not a group of settings"),
    ],
)
def test_a_wrong_override_is_an_input_error(override: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        apply_overrides({"x": 1}, [override])


@given(
    st.lists(st.text("abc", min_size=1), min_size=1, max_size=4),
    st.one_of(st.integers(), st.booleans(), st.text("xyz", min_size=1), st.none()),
)
def test_any_path_can_be_set_and_read_back(keys: list[str], value: Any) -> None:
    node: Any = apply_overrides({}, [f"{'.'.join(keys)}={json.dumps(value)}"])
    for key in keys:
        node = node[key]
    assert node == value


def test_a_file_holds_only_what_differs_from_the_one_it_extends(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("name: a\ninner: {rate: 1.0, size: 3}\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "middle.yaml").write_text("extends: ../base.yaml\nname: b\n")
    (tmp_path / "sub" / "c.yaml").write_text("extends: middle.yaml\ninner: {rate: 2.0}\n")
    assert load_yaml(tmp_path / "sub" / "c.yaml") == {"name": "b", "inner": {"rate": 2.0, "size": 3}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("extends: c.yaml\n", "the file extends itself"),
        ("extends: 3\n", "'extends' is 3"),
        ("extends: gone.yaml\n", "gone.yaml"),
    ],
)
def test_an_extension_that_leads_nowhere_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        load_yaml(tmp_path / "c.yaml")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("method: &a\n  name: dcid\n  self: *a\n", "a value refers to itself"),
        ("a: " + "{b: " * 2000 + "1" + "}" * 2000, "nested too deeply"),
        ("a: " + "[" * 100 + "]" * 100, "nested too deeply"),
        ("a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
         + "".join(f"{y}: &{y} [{', '.join([f'*{x}'] * 10)}]\n" for x, y in pairwise("abcdefghijk")),
         "aliases expand to more than 100000 values"),
        ("a: " + "9" * 5000, "a value cannot be read"),
        ("a: 0x1" + "0" * 16, "does not fit 64 bits"),
        ("a: 2001-99-99", "a value cannot be read"),
        (r'a: "\ud800"', "a value cannot be read"),
        ("a: !!python/object/apply:os.abort []", "not valid YAML"),
    ],
)  # fmt: skip
def test_yaml_that_explodes_or_holds_itself_is_refused(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(InputError, match=rf"config\.yaml: .*{says}"):
        load_yaml(tmp_path / "config.yaml")


def test_the_configuration_of_a_run_extends_nothing(tmp_path: Path) -> None:
    (tmp_path / "secret.yaml").write_text("password: xyz\n")
    (tmp_path / "config.yaml").write_text("extends: secret.yaml\n")
    assert load_yaml(tmp_path / "config.yaml") == {"password": "xyz"}
    with pytest.raises(InputError, match="it extends another file"):
        load_yaml(tmp_path / "config.yaml", extends=False)
