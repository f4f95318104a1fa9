"""What a call of `extract` asks for: encoders, where their files are, and what the store notes of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from unicode_cmg.data.store.part import INDEX
from unicode_cmg.data.store.writer import MODELS
from unicode_cmg.errors import InputError
from unicode_cmg.extract.clips import MediaSource
from unicode_cmg.extract.encoders import Encoder, load_encoder
from unicode_cmg.extract.faults import encoder_faults
from unicode_cmg.extract.media import Kind
from unicode_cmg.extract.sources import Pattern
from unicode_cmg.files import read_json
from unicode_cmg.version import VERSION

_KINDS: tuple[Kind, ...] = ("audio", "video", "image", "text")

Given = str | Mapping[str, Any] | Encoder | Callable[[Any, Any], Any]
"""An encoder as `load_encoder` takes it."""


def encoders_of(given: Mapping[str, Any]) -> dict[str, Encoder]:
    """Modality -> encoder.

    Raises:
        InputError: There is none, a kind is not known, or an encoder is wrong.
    """
    if not given:
        fix = "such as --audio vggish:vggish.pth; see docs/guide/raw-media.md"
        raise InputError("no encoder is named", where="extract", expected="at least one", fix=fix)
    loaded = {}
    for name, spec in given.items():
        kind, spec = spec if isinstance(spec, tuple) else (getattr(spec, "kind", name), spec)
        if kind not in _KINDS:
            raise InputError(
                f"'{kind}' is no kind of media"
                if kind != name
                else f"the kind of modality '{name}' is not known",
                where=f"modality '{name}'",
                expected=f"one of {', '.join(_KINDS)}",
                fix=f"write --encode {name}=image:ENCODER",
            )
        loaded[name] = load_encoder(spec, kind, where=f"modality '{name}'")
    return loaded


def patterns_of(files: Mapping[str, Any], encoders: Mapping[str, Encoder]) -> dict[str, tuple[Pattern, ...]]:
    """Modality -> the patterns of its file or its sentences.

    Raises:
        InputError: A modality has no encoder, or a pattern is wrong.
    """
    found = {}
    for name, given in files.items():
        if name not in encoders:
            raise InputError(
                f"files of '{name}', which has no encoder", expected=f"one of {', '.join(encoders)}"
            )
        listed = (given,) if isinstance(given, str) else tuple(given)
        if len(listed) > 1 and encoders[name].kind != "text":
            raise InputError(f"{len(listed)} patterns", where=f"modality '{name}'", expected="one")
        found[name] = tuple(map(Pattern, listed))
    return found


def provenance_of(
    encoders: Mapping[str, Encoder],
    source: MediaSource,
    rate: float | None,
    seconds: float | None,
    dtype: str,
) -> dict[str, Any]:
    """What the store notes: whoever adds to it must agree."""
    return {
        "extracted": source.path.resolve().name,
        "unicode-cmg": VERSION,
        "steps_per_second": "one step a file" if rate is None else rate,
        "seconds": "whole clips" if seconds is None else seconds,
        "dtype": dtype,
        "encoders": {name: _origin(name, encoder) for name, encoder in encoders.items()},
        MODELS: {name: model for name, e in encoders.items() if (model := e.settings.model) is not None},
    }


def _origin(name: str, encoder: Encoder) -> dict[str, Any]:
    with encoder_faults(f"the encoder of '{name}'", "does not say where its features come from"):
        return {"kind": encoder.kind, **encoder.provenance()}


def check_same(to: Path, note: Mapping[str, Any]) -> None:
    """Refuse to add to a store of other settings.

    Raises:
        InputError: The first setting that differs.
    """
    if not (to / INDEX).is_file():
        return
    index = read_json(to / INDEX)
    found = index.get("source") if isinstance(index, dict) else None
    found = found if isinstance(found, dict) else {}
    different = _difference({**found, MODELS: None}, {**note, MODELS: None})
    if different is not None:
        key, held, value = different
        raise InputError(
            f"the store was extracted with {key}: {held}" if found else "the store was not extracted",
            where=to,
            expected=f"{key}: {value}",
            fix="name another folder by --to, or remove this one",
        )


def _difference(held: Any, value: Any) -> tuple[str, Any, Any] | None:
    """The first setting that differs, by the names that lead to it, and its two values."""
    if not (isinstance(held, dict) and isinstance(value, dict)):
        return None if held == value else ("", held, value)
    for name in (*value, *held):
        different = _difference(held.get(name), value.get(name))
        if different is not None:
            inner, *values = different
            return (f"{name} {inner}".strip(), *values)
    return None
