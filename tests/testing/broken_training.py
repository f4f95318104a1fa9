"""For each promise about losses, gradients, codebooks and runs of a method, one that breaks it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from broken_methods import BROKEN, breaks, losses, overriding, z_of
from torch import nn

from unicode_cmg.batch import Encoding, FeatureBatch
from unicode_cmg.methods.dcid import DCID

__all__ = ["BROKEN"]


breaks("losses_are_named_scalars")(
    lambda: losses(lambda model, terms, batch, r, g: {k: v.unsqueeze(0) for k, v in terms.items()})
)
breaks("names_of_losses_are_paths")(
    lambda: losses(lambda model, terms, batch, r, g: {**terms, "club//all": terms["cpc"]})
)


@breaks("names_of_losses_do_not_depend_on_the_batch")
def _() -> type[DCID]:
    def change(model: Any, terms: Any, batch: FeatureBatch, r: Any, g: Any) -> Any:
        return terms if len(batch) > 1 else {k: v for k, v in terms.items() if k != "cpc"}

    return losses(change)


breaks("the_generator_decides_every_draw_of_the_losses")(
    lambda: losses(lambda model, terms, batch, r, g: {**terms, "cpc": terms["cpc"] * torch.rand(())})
)
breaks("a_representation_that_is_handed_on_gives_the_same_losses")(
    lambda: losses(lambda model, terms, batch, r, g: {**terms, "cpc": terms["cpc"] + (r is None)})
)


@breaks("losses_change_no_state")
def _() -> type[DCID]:
    def change(model: Any, terms: Any, batch: Any, r: Any, g: Any) -> Any:
        model.layer.codebook.idle += 1
        return terms

    return losses(change)


breaks("loss_factors_are_about_terms")(lambda: overriding(loss_factors=lambda self: {"clubb": 0.5}))


@breaks("the_first_step_has_something_to_train_on")
def _() -> type[DCID]:
    kinds = ("reconstruction", "commitment", "club", "cpc", "cmcm")
    return overriding(loss_factors=lambda self: dict.fromkeys(kinds, 0.0))


@breaks("the_smallest_batches_train")
def _() -> type[DCID]:
    def change(model: Any, terms: Any, batch: Any, r: Any, g: Any) -> Any:
        return {**terms, "spread": z_of(r, model, batch)["speech"].mean() / (len(batch) - 1)}

    return losses(change)


@breaks("long_clips_train")
def _() -> type[DCID]:
    place = torch.rand(12)

    def change(model: Any, terms: Any, batch: Any, r: Any, g: Any) -> Any:
        z = z_of(r, model, batch)["speech"].mean(2)
        return {**terms, "place": (z - place[: z.shape[1]]).square().mean()}

    return losses(change)


@breaks("losses_are_finite_in_mixed_precision")
def _() -> type[DCID]:
    def change(model: Any, terms: Any, batch: Any, r: Any, g: Any) -> Any:
        z = z_of(r, model, batch)["speech"]
        small = (z @ z.mT).dtype == torch.bfloat16
        return {**terms, "square": (z.float() * (1e30 if small else 1)).square().sum()}

    return losses(change)


breaks("losses_follow_float64")(
    lambda: losses(lambda model, terms, batch, r, g: {k: v.float() for k, v in terms.items()})
)


def _lenient(self: Any, batch: FeatureBatch) -> Any:
    whole = {m: batch.features.get(m) for m in self.modalities}
    first = next(x for x in whole.values() if x is not None)
    filled = {
        m: torch.zeros(*first.shape[:2], self.config.modalities[m].dim) if x is None
        else x[..., : self.config.modalities[m].dim]
        for m, x in whole.items()
    }  # fmt: skip
    masks = {m: batch.masks.get(m, torch.zeros(first.shape[:2], dtype=torch.bool)) for m in self.modalities}
    return DCID.represent(self, FeatureBatch(filled, masks))


breaks(
    "a_batch_without_a_modality_is_refused",
    "a_batch_with_an_unknown_modality_is_refused",
    "a_batch_of_another_shape_is_refused",
)(lambda: overriding(represent=_lenient))


@breaks("gradients_reach_every_trained_module")
def _() -> type[DCID]:
    def __init__(self: Any, config: Any) -> None:
        DCID.__init__(self, config)
        self.idle = nn.Linear(2, 2)

    return overriding(
        __init__=__init__, trained_modules=lambda self: {**DCID.trained_modules(self), "idle": self.idle}
    )


@breaks("every_modality_has_a_part_in_the_losses")
def _() -> type[DCID]:
    def represent(self: Any, batch: FeatureBatch) -> Any:
        constant = {**batch.features, "touch": batch.features["touch"].detach()}
        return DCID.represent(self, FeatureBatch(constant, batch.masks))

    return overriding(represent=represent)


@breaks("gradients_are_finite", "equal_features_give_finite_gradients")
def _() -> type[DCID]:
    def change(model: Any, terms: Any, batch: Any, r: Any, g: Any) -> Any:
        z = z_of(r, model, batch)["speech"]
        return {**terms, "root": (z - z.detach()).square().sum().sqrt()}

    return losses(change)


@breaks("critic_losses_teach_the_critics_alone", "critic_losses_reach_every_critic")
def _() -> type[DCID]:
    def critic_losses(self: Any, representation: Any) -> Any:
        return {"critic/speech": -representation.general["speech"].square().mean()}

    return overriding(critic_losses=critic_losses)


@breaks("the_view_is_complete")
def _() -> type[DCID]:
    def view(self: Any, batch: Any, representation: Any) -> Any:
        whole = DCID.view(self, batch, representation)
        return replace(whole, general={m: z for m, z in whole.general.items() if m != "touch"})

    return overriding(view=view)


def _masks_forgotten(self: Any, batch: FeatureBatch) -> Any:
    return DCID.represent(self, FeatureBatch.of(batch.features))


breaks(
    "losses_ignore_the_padding",
    "losses_ignore_nan_in_the_padding",
    "losses_ignore_what_stands_for_a_missing_modality",
    "statistics_ignore_what_is_missing",
    "a_modality_that_a_batch_lacks_costs_nothing",
    "modalities_that_never_meet_train",
)(lambda: overriding(represent=_masks_forgotten))


@breaks("batches_with_missing_modalities_train", "a_run_with_missing_modalities_ends")
def _() -> type[DCID]:
    def change(model: Any, terms: Any, batch: FeatureBatch, r: Any, g: Any) -> Any:
        missing = sum((~mask.any(1)).sum() for mask in batch.masks.values())
        return {**terms, "cpc": terms["cpc"] / (missing == 0)}

    return losses(change)


breaks("quantized_batches_fit_the_quantizers", "statistics_are_floats_by_code_layer")(
    lambda: overriding(quantized_batches=lambda self, representation: {})
)
breaks("updates_move_the_codebooks")(
    lambda: overriding(update_codebooks=lambda self, representation, *, generator: None)
)


def updating(change: Callable[[Any, Any], None]) -> type[DCID]:
    """A method that does one more thing in an update: `change(model, generator)`."""

    def update_codebooks(self: Any, representation: Any, *, generator: Any) -> None:
        DCID.update_codebooks(self, representation, generator=generator)
        with torch.no_grad():
            change(self, generator)

    return overriding(update_codebooks=update_codebooks)


breaks("updates_do_nothing_in_evaluation")(
    lambda: updating(lambda model, g: model.layer.codebook.idle.add_(1))
)
breaks("updates_leave_the_parameters_alone")(
    lambda: updating(lambda model, g: next(model.parameters()).mul_(0.9))
)
breaks("the_generator_decides_every_draw_of_an_update")(
    lambda: updating(lambda model, g: model.layer.codebook.embedding.add_(torch.rand(())))
)
breaks("codebooks_carry_no_graph")(
    lambda: updating(lambda model, g: model.layer.codebook.embedding.requires_grad_())
)


@breaks(
    "the_state_dict_holds_everything",
    "a_resumed_run_ends_with_the_same_bits",
    "a_saved_model_is_loaded_as_it_was",
)
def _() -> type[DCID]:
    def encode_batch(self: Any, modality: str, features: Any, mask: Any = None) -> Encoding:
        made = DCID.encode_batch(self, modality, features, mask)
        return replace(made, codes=made.codes + getattr(self, "updates", 0))

    def update_codebooks(self: Any, representation: Any, *, generator: Any) -> None:
        self.updates = getattr(self, "updates", 0) + 1
        DCID.update_codebooks(self, representation, generator=generator)
        self.layer.codebook.ema_weight += self.updates

    return overriding(encode_batch=encode_batch, update_codebooks=update_codebooks)


@breaks("a_model_can_be_copied")
def _() -> type[DCID]:
    def update_codebooks(self: Any, representation: Any, *, generator: Any) -> None:
        DCID.update_codebooks(self, representation, generator=generator)
        self.last = representation.general  # not a leaf of the graph, so it cannot be copied

    return overriding(update_codebooks=update_codebooks)


@breaks("a_run_trains_and_logs_every_term")
def _() -> type[DCID]:
    def begin_step(self: Any, *, step: int, epoch: int) -> None:
        self.steps = step

    def change(model: Any, terms: Any, batch: Any, r: Any, g: Any) -> Any:
        return {**terms, "cpc": terms["cpc"] / (0 if getattr(model, "steps", 0) else 1)}

    made = losses(change)
    made.begin_step = begin_step  # type: ignore[method-assign]
    return made
