"""Every method on the Hugging Face Hub: `save_pretrained`, `from_pretrained`, `push_to_hub`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
from huggingface_hub import ModelCard, ModelHubMixin

from unicode_cmg.methods.released import ReleasedOrigin

if TYPE_CHECKING:
    from unicode_cmg.methods.base import Method

HubModelT = TypeVar("HubModelT", bound="HubModel")


class HubModel(ModelHubMixin, library_name="unicode-cmg", tags=["unified-codebook", "multimodal"]):
    """A model that can be shared: huggingface_hub's methods over the native checkpoint.

    `push_to_hub(repo_id, ...)` uploads what `save_pretrained(folder)` writes: `config.json`,
    `model.safetensors` and a model card, `README.md`, unless the folder has one. The card takes
    `model_card_kwargs`, see `generate_model_card`.

    Attributes:
        origin: What is kept of the released checkpoint the model was read from; None for all other models.
    """

    origin: ReleasedOrigin | None = None

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

        `Method.from_pretrained` loads any method; a subclass refuses a model of another.

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
        from unicode_cmg.checkpoints.hub import load_shared  # late, as checkpoints build methods

        model = load_shared(
            pretrained_model_name_or_path,
            expected=cls,
            map_location=map_location,
            dtype=dtype,
            revision=revision,
            token=token,
            cache_dir=cache_dir,
            force_download=force_download,
            local_files_only=local_files_only,
        )
        return cast(HubModelT, model)

    def _save_pretrained(self, save_directory: Path) -> None:
        from unicode_cmg.checkpoints.native import save_in_place

        save_in_place(cast("Method[Any]", self), save_directory)

    def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:
        """The model card, from the configuration and from what was measured.

        Args:
            args: None are taken.
            kwargs: `results`, a run folder, its `results.json` or one evaluation's JSON file, whose numbers
                enter the card; `license`, an identifier of the Hub such as `apache-2.0`.

        Raises:
            InputError: The results cannot be read, or are of another model.
        """
        from unicode_cmg.checkpoints.model_card import model_card

        return model_card(cast("Method[Any]", self), *args, **kwargs)
