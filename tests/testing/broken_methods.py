"""For each promise about the interface and the encoding of a method, one that breaks it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import nn

from unicode_cmg.batch import Encoding, FeatureBatch
from unicode_cmg.methods.dcid import DCID, DCIDConfig


class Odd(DCID):
    """DCID, to be broken."""

    name: ClassVar[str] = "odd"


BROKEN: dict[str, Callable[[], type[DCID]]] = {}


def breaks(*names: str) -> Callable[[Callable[[], type[DCID]]], Callable[[], type[DCID]]]:
    """Make a class that breaks these checks."""

    def register(make: Callable[[], type[DCID]]) -> Callable[[], type[DCID]]:
        for name in names:
            assert name not in BROKEN
            BROKEN[name] = make
        return make

    return register


def overriding(**attributes: Any) -> type[DCID]:
    return type("Broken", (Odd,), attributes)


def encoding(change: Callable[[Any, str, Encoding, Any, Any], Any]) -> type[DCID]:
    """A method whose `encode_batch` is changed: `change(model, modality, encoding, features, mask)`."""

    def encode_batch(self: Any, modality: str, features: Any, mask: Any = None, **options: Any) -> Any:
        made = DCID.encode_batch(self, modality, features, mask, **options)
        return change(self, modality, made, features, mask)

    return overriding(encode_batch=encode_batch)


def losses(change: Callable[[Any, dict[str, Any], FeatureBatch, Any, Any], Any]) -> type[DCID]:
    """A method whose losses are changed: `change(model, terms, batch, representation, generator)`."""

    def training_losses(self: Any, batch: Any, *, generator: Any, representation: Any = None) -> Any:
        r = self.represent(batch) if representation is None else representation
        terms = DCID.training_losses(self, batch, generator=generator, representation=r)
        return change(self, terms, batch, r if representation is not None else None, generator)

    return overriding(training_losses=training_losses)


def z_of(r: Any, model: Any, batch: Any) -> Any:
    return (model.represent(batch) if r is None else r).general


def looser(config: type[DCIDConfig] = DCIDConfig, **fields: Any) -> Any:
    return type("LooseConfig", (config,), {"__annotations__": {}, **fields})


breaks("name_can_name_a_method")(lambda: overriding(name="odd/one"))
breaks("registry_finds_the_class")(lambda: overriding(name="dcid"))


@breaks("config_survives_json")
def _() -> type[DCID]:
    def to_json(self: Any) -> dict[str, Any]:
        return {k: v for k, v in DCIDConfig.to_json(self).items() if k != "num_codes"}

    return overriding(config_class=looser(to_json=to_json))


breaks("unknown_settings_are_refused")(
    lambda: overriding(config_class=looser(model_config={"extra": "ignore"}))
)


@breaks("config_is_kept")
def _() -> type[DCID]:
    def __init__(self: Any, config: Any) -> None:
        DCID.__init__(self, config.model_copy(update={"dropout": 0.0}))

    return overriding(__init__=__init__)


@breaks("seed_decides_the_first_parameters")
def _() -> type[DCID]:
    fresh = torch.Generator().manual_seed(0)

    def __init__(self: Any, config: Any) -> None:
        DCID.__init__(self, config)
        self.register_buffer("start", torch.rand((), generator=fresh))

    return overriding(__init__=__init__)


breaks("modalities_are_those_of_the_configuration")(
    lambda: overriding(modalities=property(lambda self: ("touch", "speech")))
)


@breaks("every_parameter_has_one_optimizer", "trained_modules_have_parameters")
def _() -> type[DCID]:
    def trained_modules(self: Any) -> dict[str, nn.Module]:
        modules = DCID.trained_modules(self)
        modules.pop("decoder")
        return {**modules, "nothing": nn.ModuleList()}

    return overriding(trained_modules=trained_modules)


breaks("quantizers_are_where_they_are_said_to_be")(
    lambda: overriding(quantizers=lambda self: {"layer0": "layer.decoder"})
)
breaks("codebooks_are_in_the_state_dict")(
    lambda: overriding(codebook_keys=lambda self: {"layer0": "layer.codebook.table"})
)
breaks("encode_has_documented_shapes")(
    lambda: encoding(lambda model, m, e, x, mask: replace(e, indices=e.indices.int().long()[..., 0]))
)
breaks("indices_are_in_range", "indices_are_the_nearest_codewords")(
    lambda: encoding(lambda model, m, e, x, mask: replace(e, indices=e.indices + 1 - 13 * (e.indices > 50)))
)
breaks("codes_are_the_codewords_of_their_indices")(
    lambda: encoding(lambda model, m, e, x, mask: replace(e, codes=e.codes + 1))
)
breaks("encode_is_deterministic", "encode_draws_nothing")(
    lambda: encoding(lambda model, m, e, x, mask: replace(e, codes=e.codes + torch.rand(())))
)


@breaks("encode_changes_no_state")
def _() -> type[DCID]:
    def change(model: Any, m: str, e: Encoding, x: Any, mask: Any) -> Encoding:
        model.layer.codebook.idle += 1
        return e

    return encoding(change)


breaks("encode_does_not_depend_on_batch_mates")(
    lambda: encoding(lambda model, m, e, x, mask: replace(e, general=e.general - e.general.mean(0)))
)
breaks("encode_follows_the_order_of_the_clips")(
    lambda: encoding(lambda model, m, e, x, mask: replace(e, general=e.general.cumsum(0)))
)
breaks("encode_takes_a_single_step")(
    lambda: encoding(lambda model, m, e, x, mask: replace(e, general=e.general[:, [0, 1]]))
)


@breaks("encode_takes_any_number_of_steps")
def _() -> type[DCID]:
    place = torch.rand(12, 8)
    return encoding(lambda model, m, e, x, mask: replace(e, general=e.general + place[: x.shape[1]]))


breaks("a_full_mask_is_as_good_as_none")(
    lambda: encoding(lambda model, m, e, x, mask: e if mask is None else replace(e, general=e.general + 1))
)


def _without_mask(self: Any, modality: str, features: Any, mask: Any = None) -> Encoding:
    return DCID.encode_batch(self, modality, features)


breaks(
    "encode_ignores_the_padding", "padding_is_as_good_as_cutting", "a_clip_without_the_modality_is_encoded"
)(lambda: overriding(encode_batch=_without_mask))


@breaks("levels_can_be_encoded")
def _() -> type[DCID]:
    def encode_batch(self: Any, modality: str, x: Any, mask: Any = None, *, level: str = "a") -> Encoding:
        return DCID.encode_batch(self, modality, x, mask)

    return overriding(levels=("a", "b"), encode_batch=encode_batch)


@breaks("encode_refuses_an_unknown_modality", "encode_refuses_features_of_another_shape")
def _() -> type[DCID]:
    def encode_batch(self: Any, modality: str, features: Any, mask: Any = None) -> Encoding:
        known = modality if modality in self.modalities else "speech"
        width = self.config.modalities[known].dim
        return DCID.encode_batch(self, known, features[..., :width] if features.shape[1] else features, mask)

    return overriding(encode_batch=encode_batch)


@breaks("encode_follows_the_dtype_of_the_model")
def _() -> type[DCID]:
    turn = torch.eye(8)
    return encoding(lambda model, m, e, x, mask: replace(e, codes=e.codes @ turn))
