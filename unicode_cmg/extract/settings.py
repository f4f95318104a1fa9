"""What is extracted, as a YAML file says it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import Field, field_validator

from unicode_cmg.config import Config, load_yaml, merged
from unicode_cmg.errors import InputError, unknown
from unicode_cmg.extract.extracted import Extracted
from unicode_cmg.extract.media import Kind
from unicode_cmg.extract.run import extract
from unicode_cmg.extract.sources import Listing

RECIPES = Path(__file__).parent / "recipes"


class ModalitySettings(Config):
    """A modality. A plain text is its encoder."""

    encoder: str | dict[str, Any] = Field(description="its encoder: NAME:MODEL, or its name and settings")
    kind: Kind | None = Field(default=None, description="its kind; by default the name of the modality")
    file: str | tuple[str, ...] | None = Field(
        default=None, description="its file, or a text, as a pattern of columns such as videos/{id}.mp4"
    )


class ExtractSettings(Config):
    """A configuration of `unicode-cmg extract`."""

    modalities: dict[str, ModalitySettings] = Field(default={}, description="name -> encoder, kind and file")
    steps_per_second: float | None = Field(
        default=1.0, description="steps per second of sound and video; null or file: each file is one step"
    )
    seconds: float | None = Field(default=10.0, description="length of a clip; null or all: as long as it is")
    dtype: Literal["float16", "float32"] = Field(default="float32", description="type of the features")
    list: Listing | None = Field(default=None, description="the lists of a data set that is a folder")
    id: str | None = Field(default=None, description="id of a clip, as a pattern of columns of the list")

    @field_validator("modalities", mode="before")
    @classmethod
    def _encoders_alone(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        return {name: {"encoder": v} if isinstance(v, str) else v for name, v in values.items()}

    @field_validator("seconds", mode="before")
    @classmethod
    def _seconds(cls, value: Any) -> Any:
        return _number_or_word("seconds", value, "all")

    @field_validator("steps_per_second", mode="before")
    @classmethod
    def _steps(cls, value: Any) -> Any:
        return _number_or_word("steps_per_second", value, "file")

    @classmethod
    def load(cls, path: Path | None) -> ExtractSettings:
        """Read a YAML file, or the recipe of this name; None for the defaults.

        Raises:
            InputError: There is no such file or recipe, or a setting is wrong.
        """
        if path is None:
            return cls()
        if path.suffix == "" and not path.exists():
            names = recipes()
            if str(path) not in names:
                raise unknown("recipe", str(path), names, where="--config")
            path = RECIPES / f"{path}.yaml"
        return cls.parse(load_yaml(path), where=path)

    def changed(
        self, settings: Mapping[str, Any], encoders: Mapping[str, tuple[str, str]]
    ) -> ExtractSettings:
        """With other settings, and encoders as the command line gives them: name -> kind and encoder."""
        modalities = {name: {"kind": kind, "encoder": encoder} for name, (kind, encoder) in encoders.items()}
        values = merged(self.to_json(), {**settings, "modalities": modalities})
        return type(self).parse(values, where="extract")

    def extract(self, source: Path, to: Path, **options: Any) -> Extracted:
        """Call `extract` with these settings.

        Raises:
            InputError: As `extract`.
        """
        encoders: dict[str, Any] = {
            name: each.encoder if each.kind is None else (each.kind, each.encoder)
            for name, each in self.modalities.items()
        }
        return extract(
            source,
            encoders,
            to,
            steps_per_second=self.steps_per_second,
            seconds=self.seconds,
            files={name: each.file for name, each in self.modalities.items() if each.file is not None},
            clip_id=self.id,
            listing=self.list,
            dtype=self.dtype,
            **options,
        )


def _number_or_word(name: str, value: Any, word: str) -> Any:
    """A number above 0, or None for the word."""
    if value == word:
        return None
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        try:
            if float(value) > 0:
                return float(value)
        except ValueError:
            pass
        raise ValueError(f"{name} is {value}; expected more than 0, or {word}")
    return value


def recipes() -> tuple[str, ...]:
    """Names of the recipes."""
    return tuple(sorted(file.stem for file in RECIPES.glob("*.yaml")))


def encoders_in(pairs: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Name -> kind and encoder, from texts such as "image:dinov2:PATH".

    Raises:
        InputError: One of them is something else.
    """
    found = {}
    for name, text in pairs.items():
        kind, _, encoder = text.partition(":")
        if kind not in get_args(Kind) or not encoder:
            expected = "NAME=KIND:ENCODER, with a kind of audio, video, image or text"
            raise InputError(f"'{name}={text}'", where="--encode", expected=expected)
        found[name] = (kind, encoder)
    return found
