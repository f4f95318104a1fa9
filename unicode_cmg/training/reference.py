"""Every key of a pretraining configuration as a Markdown page, from the models themselves.

usage: python -m unicode_cmg.training.reference > docs/reference/configuration.md
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from unicode_cmg.config import NamedConfig
from unicode_cmg.methods import available_methods, method_class
from unicode_cmg.methods.dcid.config import FIDELITIES
from unicode_cmg.regularizers.registry import OURS, regularizer_class
from unicode_cmg.training.config import PretrainConfig

_INTRODUCTION = """\
# Configuration

A pretraining run is described by a YAML file; `--set a.b=c` on the command line changes a key. A key that
does not exist is an error that names the nearest one. The complete configuration of a run is kept in
`RUN/config.yaml`. This page is written by `python -m unicode_cmg.training.reference`.
"""


def reference() -> str:
    """The page."""
    parts = [_INTRODUCTION, "## Run\n", _table(PretrainConfig)]
    for name in available_methods():
        parts += [
            f"## Method `{name}`\n",
            f"Keys below `method:`, beside `name: {name}`.\n",
            _table(method_class(name).config_class),
        ]
    for name in OURS:
        parts += [
            f"## Regularizer `{name}`\n",
            f"Keys of an entry of `regularizers:`, beside `name: {name}`.\n",
            _table(regularizer_class(name).config_class),
        ]
    return "\n".join(parts)


def _table(model: type[BaseModel]) -> str:
    lines = ["| key | default | meaning |", "| --- | --- | --- |"]
    switches: Mapping[str, tuple[Any, Any, Any]] = getattr(model, "switches", {})
    for key, field in _leaves(model):
        options = zip(FIDELITIES, switches.get(key, ()), strict=False)
        chosen = [f"{_written(value)} ({fidelity})" for fidelity, value in options]
        lines.append(f"| `{key}` | {', '.join(chosen) or _default(field)} | {_meaning(field)} |")
    return "\n".join(lines) + "\n"


def _leaves(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Dotted keys in the order of the model; a group of settings is replaced by its members."""
    for name, field in model.model_fields.items():
        candidates = (field.annotation, *get_args(field.annotation))
        inner = next((a for a in candidates if isinstance(a, type) and issubclass(a, BaseModel)), None)
        if inner is None or issubclass(inner, NamedConfig):
            yield prefix + name, field
        else:
            entry = ".<name>" if get_origin(field.annotation) is dict else ""
            yield from _leaves(inner, f"{prefix}{name}{entry}.")


def _default(field: FieldInfo) -> str:
    return "required" if field.is_required() else _written(field.get_default(call_default_factory=True))


def _written(value: Any) -> str:
    """A value as YAML has it."""
    plain = list(value) if isinstance(value, tuple) else value
    return yaml.safe_dump(plain, default_flow_style=True).removesuffix("...\n").strip()


def _meaning(field: FieldInfo) -> str:
    text = (field.description or "").replace("|", "\\|")
    if get_origin(field.annotation) is Literal:
        text += " (" + ", ".join(f"`{choice}`" for choice in get_args(field.annotation)) + ")"
    return text


if __name__ == "__main__":
    print(reference(), end="")
