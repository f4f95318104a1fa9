"""Models on the Hugging Face Hub: `from_pretrained`, `save_pretrained` and `push_to_hub` of every method."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import torch
from huggingface_hub import ModelCard, ModelHubMixin, snapshot_download
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from unicode_cmg.checkpoints.folders import CONFIG_FILE, UNUSED_FILE, WEIGHTS_FILE
from unicode_cmg.checkpoints.model_card import LIBRARY, model_card
from unicode_cmg.checkpoints.native import load_pretrained, save_in_place
from unicode_cmg.checkpoints.sums import SUMS_FILE
from unicode_cmg.errors import InputError
from unicode_cmg.model import Model
from unicode_cmg.version import VERSION

HubModelT = TypeVar("HubModelT", bound="HubModel")


class HubModel(ModelHubMixin, Model):
    """A model that can be shared: huggingface_hub's methods over the native checkpoint.

    `push_to_hub(repo_id, ...)` uploads what `save_pretrained(folder)` writes: `config.json`,
    `model.safetensors` and a model card, `README.md`, unless the folder has one. The card takes
    `model_card_kwargs`, see `generate_model_card`.
    """

    @classmethod
    def from_pretrained(  # type: ignore[override]  # every other keyword is a mistake and must not pass
        cls: type[HubModelT],
        pretrained_model_name_or_path: str | Path,
        *,
        map_location: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
    ) -> HubModelT:
        """Load a model, in evaluation mode, from a path or from the Hub.

        `Method.from_pretrained` loads a model of any method; a subclass refuses a model of another method.

        Args:
            pretrained_model_name_or_path: What `load_pretrained` takes, or `user/name` on the Hub.
            map_location: Device to put the model on.
            dtype: Floating type of the parameters; None is float32.
            revision: Branch, tag or commit on the Hub.
            token: Access token of the Hub; default: the stored one.
            cache_dir: Where downloads are kept.
            force_download: Download again what is there already.
            local_files_only: Never ask the network.

        Raises:
            InputError: There is no such model, it is damaged, or it is of another method.
        """
        name = pretrained_model_name_or_path
        path = Path(name)
        if not path.exists():
            path = _download(
                str(name),
                revision=revision,
                token=token,
                cache_dir=cache_dir,
                force_download=force_download,
                local_files_only=local_files_only,
            )
        model = load_pretrained(path, map_location=map_location, dtype=dtype)
        if not isinstance(model, cls):
            raise InputError(
                f"a model of the method '{model.name}'",
                where=name,
                expected=f"one of '{getattr(cls, 'name', cls.__name__)}'",
                fix="load it with Method.from_pretrained, which takes any",
            )
        return model

    def _save_pretrained(self, save_directory: Path) -> None:
        save_in_place(self, save_directory)

    def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:
        """The model card, from the configuration and from the numbers of evaluations.

        Args:
            args: None are taken.
            kwargs: `results`, a run folder, its `results.json` or one evaluation's JSON file, whose numbers
                enter the card; `license`, an identifier of the Hub such as `apache-2.0`.

        Raises:
            InputError: The results cannot be read, or are of another model.
        """
        return model_card(self, *args, **kwargs)


def _download(name: str, *, revision: str | None, **options: Any) -> Path:
    """The local copy of a model of the Hub."""
    nowhere = InputError("no such file or folder", where=name, expected="a path, or 'user/name' on the Hub")
    if name.count("/") != 1:
        raise nowhere
    try:
        folder = snapshot_download(
            name,
            allow_patterns=[CONFIG_FILE, WEIGHTS_FILE, UNUSED_FILE, SUMS_FILE],
            library_name=LIBRARY,
            library_version=VERSION,
            revision=revision,
            **options,
        )
    except HFValidationError:
        raise nowhere from None
    except RevisionNotFoundError:
        raise InputError(f"no revision '{revision}' on the Hub", where=name) from None
    except RepositoryNotFoundError:
        raise InputError(
            "no such file or folder, and no model of this name on the Hub",
            where=name,
            fix="check the name; a private model needs a token",
        ) from None
    except LocalEntryNotFoundError:
        raise InputError(
            "no such file or folder, and the Hub cannot be asked for it",
            where=name,
            fix="check the path, or the connection to the Hub",
        ) from None
    except HfHubHTTPError as error:
        raise InputError(f"the Hub refused it ({str(error).splitlines()[0]})", where=name) from error
    return Path(folder)
