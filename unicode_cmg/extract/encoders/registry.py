"""Encoders by what a user writes: `vggish:weights.pth`, a mapping from YAML, or a plain function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from unicode_cmg.entry_points import load_offered, offered, wrong_offer
from unicode_cmg.errors import InputError, SetupError, unknown
from unicode_cmg.extract.encoders.base import Encoder, EncoderConfig, FunctionEncoder
from unicode_cmg.extract.faults import encoder_faults
from unicode_cmg.extract.media import Grid, Kind

GROUP = "unicode_cmg.encoders"
"""The group of entry points under which a package offers encoders: `NAME = "module:Class"`."""

OURS = {
    "fbank": ("unicode_cmg.extract.encoders.spectra", "Fbank"),
    "log-mel": ("unicode_cmg.extract.encoders.spectra", "LogMel"),
    "mfcc": ("unicode_cmg.extract.encoders.spectra", "MFCC"),
    "onnx": ("unicode_cmg.extract.encoders.onnx", "OnnxEncoder"),
    "pixels": ("unicode_cmg.extract.encoders.pixels", "Pixels"),
    "transformers": ("unicode_cmg.extract.encoders.pretrained.encoder", "TransformersEncoder"),
    "vgg19": ("unicode_cmg.extract.encoders.vgg", "VGG19Encoder"),
    "vggish": ("unicode_cmg.extract.encoders.vgg", "VGGishEncoder"),
}
"""Name -> module and class, imported when first asked for."""

PRESETS: dict[str, dict[str, Any]] = {
    "ast": {"name": "transformers", "model": "MIT/ast-finetuned-audioset-10-10-0.4593"},
    "bert-words": {"name": "transformers", "model": "bert-base-uncased", "per": "word", "most": 10},
    "clap": {"name": "transformers", "model": "laion/clap-htsat-unfused"},
    "clip": {"name": "transformers", "model": "openai/clip-vit-base-patch32"},
    "dinov2": {"name": "transformers", "model": "facebook/dinov2-base"},
    "minilm": {"name": "transformers", "model": "sentence-transformers/all-MiniLM-L6-v2"},
    "siglip": {"name": "transformers", "model": "google/siglip-base-patch16-224"},
    "vgg19-pool5": {"name": "vgg19", "frames": 16},
    "videomae": {"name": "transformers", "model": "MCG-NJU/videomae-base"},
    "wav2vec2": {"name": "transformers", "model": "facebook/wav2vec2-base"},
    "whisper": {"name": "transformers", "model": "openai/whisper-base"},
}
"""Short name -> the mapping it stands for; what a user writes beside it replaces its settings.

`vggish`, `vgg19-pool5` and `bert-words` give the features of the papers at one step per second: [10, 128],
[10, 7, 7, 512] and up to [10, 768] for a clip of ten seconds.
"""


def available_encoders() -> tuple[str, ...]:
    """Names that a specification may begin with: ours first, then those of other packages."""
    ours = (*OURS, *PRESETS)
    return (*ours, *sorted(set(offered(GROUP)) - set(ours)))


def encoder_class(name: str, *, where: object | None = None) -> type[Encoder]:
    """The class of an encoder.

    Args:
        name: Its name; ours come before those of other packages.
        where: The file or argument the name came from, for the error message.

    Raises:
        InputError: There is none of this name, or the package that offers it cannot be used.
    """
    if name in OURS:
        module, attribute = OURS[name]
        try:
            found: type[Encoder] = getattr(import_module(module), attribute)
        except ImportError as error:
            raise SetupError(
                f"'{name}' needs a package that cannot be imported ({error})",
                where=where,
                fix="pip install 'unicode-cmg[media]'",
            ) from None
        return found
    points = offered(GROUP)
    if name not in points:
        raise unknown("encoder", name, available_encoders(), where=where)
    found = load_offered(points[name], "encoder", Encoder, where=where)
    settings = getattr(found, "config_class", None)
    if not (isinstance(settings, type) and issubclass(settings, EncoderConfig)):
        raise wrong_offer(
            points[name], "encoder", "has no 'config_class' derived from EncoderConfig", where=where
        )
    if not getattr(found, "kinds", None):
        raise wrong_offer(points[name], "encoder", "does not say in 'kinds' what it reads", where=where)
    return found


def load_encoder(
    spec: str | Mapping[str, Any] | Encoder | Callable[[Any, Grid], Any],
    kind: Kind,
    *,
    where: object | None = None,
) -> Encoder:
    """An encoder, without its weights, which `Encoder.load` reads.

    Args:
        spec: `NAME`, `NAME:MODEL`, a mapping with `name` and settings, an encoder, or a function as
            `FunctionEncoder` takes.
        kind: What it is to read.
        where: The file or argument it came from, for error messages.

    Raises:
        InputError: There is no such encoder, it cannot read this kind, or its settings are wrong.
    """
    if isinstance(spec, Encoder):
        if spec.kind != kind:
            raise InputError(f"the encoder '{spec.name}' reads {spec.kind}, not {kind}", where=where)
        return spec
    if callable(spec):
        return FunctionEncoder(spec, kind=kind)
    if isinstance(spec, str):
        name, colon, model = spec.partition(":")
        spec = {"name": name, "model": model} if colon else {"name": name}
    values = dict(spec)
    if not isinstance(values.get("name"), str):
        raise InputError("no 'name' of an encoder", where=where, expected="name: NAME")
    preset = PRESETS.get(values["name"], {"name": values["name"]})
    values = {**preset, **values, "name": preset["name"]}
    found = encoder_class(values.pop("name"), where=where)
    if kind not in found.kinds:
        reads = " and ".join(found.kinds)
        raise InputError(f"the encoder '{found.name}' reads {reads}, not {kind}", where=where)
    settings = found.config_class.parse(values, where=where or found.name)
    with encoder_faults(where or found.name, "cannot be made"):
        return found(kind, settings)
