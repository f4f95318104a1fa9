"""Configuration: pydantic models read from YAML and changed by `--set a.b=c`; errors name the nearest key."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny, ValidationError, model_serializer
from yaml.constructor import ConstructorError

from unicode_cmg.errors import InputError, did_you_mean
from unicode_cmg.files import check_depth, read_text

_MOST_YAML = 512 << 10  # bytes; reading more would take minutes, and no configuration has a tenth of it
_MOST_VALUES = 100_000

ConfigT = TypeVar("ConfigT", bound="Config")


class Config(BaseModel):
    """Base of all configurations: frozen, unknown keys are errors, descriptions are the documentation.

    >>> class Sizes(Config):
    ...     dim: int = Field(default=256, ge=1, description="width of the codes")
    >>> Sizes.parse({"dim": 64}, where="sizes.yaml").dim
    64
    >>> Sizes.parse({"dmi": 64}, where="sizes.yaml")
    Traceback (most recent call last):
    unicode_cmg.errors.InputError: sizes.yaml: unknown key 'dmi'; did you mean 'dim'?
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    @classmethod
    def parse(cls: type[ConfigT], values: Any, *, where: object) -> ConfigT:
        """Validate plain values.

        Args:
            values: Nested mappings, as read from YAML.
            where: The file or argument they came from, for error messages.

        Raises:
            InputError: A key is unknown or a value does not fit.
        """
        if not isinstance(values, Mapping):
            raise InputError(
                f"a {type(values).__name__} at the top level", where=where, expected="keys and values"
            )
        try:
            return cls.model_validate(values, context={"where": where})
        except ValidationError as error:
            raise _readable(cls, error, where) from None

    def to_json(self) -> dict[str, Any]:
        """Plain values; the inverse of `parse`."""
        return self.model_dump(mode="json")


class NamedConfig(Config):
    """What a configuration chooses by name, such as a method, and the settings that belong to the name.

    In YAML and when dumped, `name` stands beside the settings.
    """

    name: str = Field(description="which one")
    settings: SerializeAsAny[Config] = Field(description="its own settings")

    @classmethod
    def parse_entry(
        cls,
        entry: Any,
        kind: str,
        *,
        known: Iterable[str],
        config_class: Callable[[str, object], type[Config]],
        where: object,
        key: str,
    ) -> NamedConfig:
        """Validate plain values.

        Args:
            entry: `name` and the settings in one mapping.
            kind: What is chosen, such as "method".
            known: The names there are.
            config_class: Returns the class of the settings for a name and where the name was found.
            where: The file or argument they came from, for error messages.
            key: The key that holds the entry.

        Raises:
            InputError: The name is missing or unknown, or a setting is wrong.
        """
        if isinstance(entry, NamedConfig):
            return entry
        name = entry.get("name") if isinstance(entry, Mapping) else None
        if not isinstance(name, str):
            told = "missing" if name is None else repr(name)
            expected = f"one of {', '.join(known)}"
            raise InputError(f"'{key}.name' is {told}", where=where, expected=expected)
        settings = {setting: value for setting, value in entry.items() if setting != "name"}
        found = config_class(name, f"{where}: {key}")
        return cls(name=name, settings=found.parse(settings, where=f"{where}: {kind} '{name}'"))

    @model_serializer
    def _flat(self) -> dict[str, Any]:
        return {"name": self.name, **self.settings.model_dump(mode="json")}


class _Loader(yaml.SafeLoader):
    """A safe loader for which a repeated key is an error; YAML itself keeps the last one in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise ConstructorError(
                        None, None, f"the key '{key.value}' is given twice", key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        value = super().construct_yaml_int(node)
        if not -(2**63) <= value < 2**64:
            raise ConstructorError(None, None, "the number does not fit 64 bits", node.start_mark)
        return value


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


def parse_yaml(text: str, *, where: object) -> Any:
    """The value of a YAML text: plain values only, of a size and depth that a person would write.

    Args:
        text: The text.
        where: The file or argument it came from, for the error message.

    Raises:
        InputError: It is not valid YAML, gives a key twice, is nested too deeply, refers to itself, or its
            aliases expand to an enormous value.
    """
    # _Loader is a SafeLoader: it builds plain values only
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _check_size(node, where)
        value = loader.construct_document(node)
        check_depth(value)
        json.dumps(value, ensure_ascii=False, default=str, skipkeys=True).encode()  # half a surrogate pair
        return value
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" at line {mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or "syntax error"
        fix = None if isinstance(error, ConstructorError) else "it may have been truncated"
        raise InputError(f"not valid YAML{line} ({problem})", where=where, fix=fix) from None
    except RecursionError:
        raise InputError("values are nested too deeply", where=where) from None
    except (ValueError, OverflowError, AttributeError) as error:  # of a date, a number or a text
        raise InputError(f"a value cannot be read ({error})", where=where) from None
    finally:
        if loader is not None:
            loader.dispose()


def _check_size(root: yaml.Node, where: object) -> None:
    """Refuse a tree of YAML nodes that holds itself, or that its aliases make too large."""
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()

    def size(node: yaml.Node) -> int:
        if isinstance(node, yaml.ScalarNode):
            return 1
        if id(node) in open_nodes:
            raise InputError("a value refers to itself", where=where, fix="remove its alias (*)")
        if id(node) not in sizes:
            open_nodes.add(id(node))
            children = chain.from_iterable(node.value) if isinstance(node, yaml.MappingNode) else node.value
            sizes[id(node)] = 1 + sum(map(size, children))
            open_nodes.remove(id(node))
        if sizes[id(node)] > _MOST_VALUES:
            raise InputError(f"aliases expand to more than {_MOST_VALUES} values", where=where)
        return sizes[id(node)]

    size(root)


def load_yaml(path: Path, *, extends: bool = True) -> dict[str, Any]:
    """Read a YAML file of keys and values.

    A file with a key `extends: OTHER.yaml` (relative to the file) holds only what differs from the other one.

    Args:
        path: The file.
        extends: Whether it may extend another file. The configuration in the folder of a run may not: a run
            holds its whole configuration, and whoever made it must not choose what else is read.

    Raises:
        InputError: The file is missing, empty, truncated, not a mapping, gives a key twice, extends itself,
            or see `parse_yaml`.
    """
    values: dict[str, Any] = {}
    seen: list[Path] = []
    while True:
        if path.resolve() in seen:
            raise InputError("the file extends itself", where=seen[0], fix="remove an 'extends'")
        seen.append(path.resolve())
        values = merged(_read(path), values)
        if "extends" not in values:
            return values
        other = values.pop("extends")
        if not extends:
            raise InputError(
                "it extends another file", where=path, expected="the whole configuration of the run"
            )
        if not isinstance(other, str):
            raise InputError(f"'extends' is {other!r}", where=path, expected="the path of a YAML file")
        path = path.parent / other


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the keys of `changes`, group by group."""
    result = dict(base)
    for key, value in changes.items():
        groups = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if groups else value
    return result


def flat(values: Mapping[str, Any], *, separator: str = ".", prefix: str = "") -> dict[str, Any]:
    """Nested values by their dotted keys, as `--set` writes them; an empty group is a value."""
    result: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            result |= flat(value, separator=separator, prefix=f"{prefix}{key}{separator}")
        else:
            result[f"{prefix}{key}"] = value
    return result


def _read(path: Path) -> dict[str, Any]:
    values = parse_yaml(read_text(path, most=_MOST_YAML), where=path)
    if not isinstance(values, dict):
        raise InputError(
            f"a {type(values).__name__} at the top level", where=path, expected="keys and values"
        )
    return values


def apply_overrides(values: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """A copy of `values` with each `a.b=c` applied; `c` is read as YAML.

    Raises:
        InputError: An override has no `=`, or goes through a key that holds a plain value.
    """
    result: dict[str, Any] = _copy(values)
    for override in overrides:
        path, equals, text = override.partition("=")
        keys = path.strip().split(".")
        if not equals or not all(keys):
            raise InputError(f"cannot read '{override}'", where="--set", expected="key.subkey=value")
        value = parse_yaml(text, where=f"--set {override}")
        node = result
        for depth, key in enumerate(keys[:-1]):
            child = node.setdefault(key, {})
            if child is None:
                child = node[key] = {}
            if not isinstance(child, dict):
                raise InputError(
                    f"'{'.'.join(keys[: depth + 1])}' holds a value, not a group of settings",
                    where=f"--set {override}",
                )
            node = child
        node[keys[-1]] = value
    return result


def _copy(values: Any) -> Any:
    if isinstance(values, Mapping):
        return {key: _copy(value) for key, value in values.items()}
    return [_copy(value) for value in values] if isinstance(values, list) else values


def _readable(model: type[BaseModel], error: ValidationError, where: object) -> InputError:
    """The most telling complaint of pydantic as one line that names the key.

    A misspelt key is reported before the key that is missing because of it.
    """
    rank = {"extra_forbidden": 0, "missing": 2}
    first = min(error.errors(), key=lambda complaint: rank.get(complaint["type"], 1))
    location = [str(part) for part in first["loc"]]
    key = ".".join(location)
    if first["type"] == "extra_forbidden":
        known = [".".join([*location[:-1], name]) for name in _keys_beside(model, location)]
        return InputError(f"unknown key '{key}'", where=where, fix=did_you_mean(key, known))
    if first["type"] == "missing":
        return InputError(f"'{key}' is missing", where=where, fix="add it")
    message = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    got = first.get("input")
    if first["type"] == "value_error":
        return InputError(message, where=f"{where}: {key}" if key else where)
    if first["type"] in ("model_type", "dict_type"):
        message = "a group of settings"
    elif first["type"] == "too_short":
        message = f"at least {first['ctx']['min_length']} entries"
    return InputError(f"'{key}' is {got!r}", where=where, expected=message)


def _keys_beside(model: type[BaseModel], location: list[str]) -> list[str]:
    """Field names at the level of the last element of `location`."""
    level: Any = model
    for part in location[:-1]:
        if isinstance(level, type) and issubclass(level, BaseModel):
            field = level.model_fields.get(part)
            level = field.annotation if field is not None else None
        else:  # a key of a mapping, or the tag of a union
            arguments = get_args(level)
            level = arguments[-1] if arguments else None
        level = _model_of(level)
    return list(level.model_fields) if isinstance(level, type) and issubclass(level, BaseModel) else []


def _model_of(annotation: Any) -> Any:
    """The model inside `X | None`, else the annotation itself."""
    if get_origin(annotation) in (Union, UnionType):
        models = [a for a in get_args(annotation) if isinstance(a, type) and issubclass(a, BaseModel)]
        return models[0] if models else annotation
    return annotation
