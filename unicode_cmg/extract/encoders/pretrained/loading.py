"""Models of transformers by name or folder: found, read without running code in them, and checked."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from unicode_cmg.errors import InputError, SetupError, printable
from unicode_cmg.extract.encoders.weights import sha256
from unicode_cmg.extract.media import Kind

_INPUTS: dict[Kind, tuple[str, ...]] = {
    "audio": ("input_values", "input_features"),
    "video": ("pixel_values", "pixel_values_videos"),
    "image": ("pixel_values",),
    "text": ("input_ids",),
}
_TOWERS: dict[Kind, tuple[str, ...]] = {
    "audio": ("audio_model", "audio_encoder", "audio_tower"),
    "video": ("vision_model",),
    "image": ("vision_model",),
    "text": ("text_model",),
}
_PROJECTIONS: dict[Kind, tuple[str, ...]] = {
    "audio": ("get_audio_features", "get_audio_embeds"),
    "video": ("get_image_features",),
    "image": ("get_image_features",),
    "text": ("get_text_features",),
}


def transformers() -> Any:
    """The package, untyped; it takes seconds to import."""
    return import_module("transformers")


def check_place(model: str | None) -> str:
    """The folder or name of a model, if it can be one.

    Raises:
        InputError: Nothing is named, or a path that is not there.
    """
    if not model:
        raise InputError("'transformers' needs a model", expected="transformers:NAME_OR_FOLDER")
    path = Path(model).expanduser()
    if path.is_dir():
        return str(path)
    if path.is_file() or model.startswith((".", "/", "~")) or model.count("/") > 1 or "\\" in model:
        raise InputError("no such folder", where=model, expected="a folder with config.json and weights")
    return model


def fetch(what: str, model: str, load: Callable[[], Any]) -> Any:
    """The result of a `from_pretrained`, whose errors become one line.

    Args:
        what: What is loaded, for the error message.
        model: Name or folder.
        load: Loads it.

    Raises:
        InputError: It is not there, or cannot be read.
    """
    try:
        with _quietly(local=Path(model).is_dir()):
            return load()
    except ImportError as error:
        missing = " ".join(str(error).split()).partition(" but it was not")[0][:200]
        raise SetupError(
            f"its {what} needs a package that is not installed ({missing})",
            where=model,
            fix="install it; for images a newer transformers may do with Pillow alone",
        ) from None
    except Exception as error:  # whatever reading files of strangers raises
        if Path(model).is_dir():
            reason = f"its {what} cannot be read ({_first_line(error)})"
            raise InputError(reason, where=model, expected="what save_pretrained writes") from None
        raise InputError(
            f"its {what} is neither a folder nor in the cache of transformers ({_first_line(error)})",
            where=model,
            fix=f"download it on a machine with network access: hf download {model}",
        ) from None


def load_config(model: str) -> Any:
    """The configuration of a model.

    Raises:
        InputError: As `fetch`.
    """
    return fetch(
        "configuration",
        model,
        lambda: transformers().AutoConfig.from_pretrained(model, trust_remote_code=False),
    )


def load_model(model: str, kind: Kind, device: str) -> Any:
    """A model with its weights in float32, ready to encode.

    Raises:
        InputError: As `fetch`; or weights are missing, or it does not read this kind.
    """

    def load() -> Any:
        return transformers().AutoModel.from_pretrained(
            model, dtype=torch.float32, output_loading_info=True, trust_remote_code=False
        )

    loaded, info = fetch("weights", model, load)
    read = tower(loaded, kind)
    missing = [key for key in info["missing_keys"] if _needed(key, loaded, kind)]
    if missing:
        raise InputError(
            f"its weights lack {len(missing)} of {len(loaded.state_dict())} tensors, such as '{missing[0]}'",
            where=model,
            expected=f"the weights of {type(loaded).__name__}",
        )
    if read.main_input_name not in _INPUTS[kind]:
        what = f"{type(read).__name__} reads '{read.main_input_name}'"
        raise InputError(what, where=model, expected=f"a model that reads {kind}")
    loaded.unfilled = any("pooler" in key for key in info["missing_keys"])
    return loaded.eval().requires_grad_(False).to(device)


def _needed(key: str, model: Any, kind: Kind) -> bool:
    """Whether features of this kind depend on a tensor: not on what only training or another kind uses."""
    if "pooler" in key or key.endswith(("mask_token", "masked_spec_embed")):
        return False
    read = tower(model, kind)
    own = next(name for name, module in model.named_modules() if module is read)
    if key.startswith(own):
        return True
    others = [name for names in _TOWERS.values() for name in names if hasattr(model, name) and name != own]
    return not getattr(model.config, "is_encoder_decoder", False) and not key.startswith(tuple(others))


def tower(model: Any, kind: Kind) -> Any:
    """The part of a model that reads one kind of media; the whole model if it has one part."""
    for name in _TOWERS[kind]:
        if hasattr(model, name):
            return getattr(model, name)
    return model.get_encoder() if getattr(model.config, "is_encoder_decoder", False) else model


def projection(model: Any, kind: Kind) -> Callable[..., Any] | None:
    """The method that leads into the space that a model shares between its modalities; None without one."""
    if kind == "text" and hasattr(
        model, "text_audio_head"
    ):  # PE-AV, whose own method asks for no hidden states
        return lambda **inputs: model.text_audio_head(
            model.text_model(**inputs, output_hidden_states=True).hidden_states[-1][:, 0]
        )
    return next((getattr(model, name) for name in _PROJECTIONS[kind] if hasattr(model, name)), None)


def vector(output: Any) -> Any:
    """The pooled vectors `[batch, dim]` of an output, or an output that is one; None where there are none."""
    pooled = output if isinstance(output, torch.Tensor) else getattr(output, "pooler_output", None)
    return pooled.flatten(1) if pooled is not None else None


def model_sums(folder: Path) -> dict[str, str]:
    """SHA-256 of the weights of a model, and of the files that say how it and its tokenizer are built."""
    files = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.bin"))
    for kind in ("*.json", "*.txt", "*.model", "*/config.json"):
        files += sorted(folder.glob(kind))
    return {str(file.relative_to(folder)): sha256(file) for file in files}


def cached(model: str, name: str) -> Path | None:
    """A file beside a model, in its folder or in the cache of transformers; None where there is none."""
    with _quietly(local=True):
        found = transformers().utils.cached_file(
            model,
            name,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
        )
    return Path(found) if found else None


def _first_line(error: Exception) -> str:
    return printable(next(iter(str(error).strip().splitlines()), type(error).__name__))[:200]


@contextmanager
def _quietly(*, local: bool) -> Iterator[None]:
    """Without what transformers logs while it loads: what matters is checked above. Downloads keep a bar."""
    theirs = transformers().utils.logging
    hub = logging.getLogger("huggingface_hub")
    levels, bars = (theirs.get_verbosity(), hub.level), theirs.is_progress_bar_enabled()
    theirs.set_verbosity(logging.CRITICAL)
    hub.setLevel(logging.CRITICAL)
    if local:
        theirs.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        theirs.set_verbosity(levels[0])
        hub.setLevel(levels[1])
        if local and bars:
            theirs.enable_progress_bar()
