"""`check_method`: our own methods keep every promise, and for each check there is a method that breaks it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import pytest
import torch
from tiny_models import IMAGE, QUANTIZERS, SPEECH, TOUCH, WORDS, values_of
from torch import nn

from unicode_cmg.batch import Encoding, FeatureBatch
from unicode_cmg.errors import InputError
from unicode_cmg.methods import method_class
from unicode_cmg.methods.dcid import DCID, DCIDConfig
from unicode_cmg.registry import METHODS
from unicode_cmg.testing import CHECKS, MethodCheckError, check_method, method_checks

TWO = values_of("dcid", {"speech": SPEECH, "touch": TOUCH})
THREE: dict[str, Any] = {"speech": SPEECH, "image": IMAGE, "words": WORDS}
OURS = {
    "dcid": ("dcid", THREE, {}),
    "dcid rvq": ("dcid", {"speech": SPEECH, "touch": TOUCH}, {"codebook": QUANTIZERS["rvq"]}),
    "dcid fsq": ("dcid", {"speech": SPEECH, "touch": TOUCH}, {"codebook": QUANTIZERS["fsq"]}),
    "hdcid": ("hdcid", {"speech": SPEECH, "words": WORDS}, {"standardize_deeper": True}),
    "fcid": ("fcid", THREE, {"fine": ["speech", "image"], "coarse": ["words"]}),
    "hdcid paper": ("hdcid", {"speech": SPEECH, "touch": TOUCH}, {"fidelity": "paper"}),
    "fcid coarse": ("fcid", {"speech": SPEECH, "touch": TOUCH}, {"fine": [], "coarse": ["speech", "touch"]}),
}


def test_there_are_checks_with_a_reason_and_a_remedy() -> None:
    assert len(CHECKS) >= 40
    for name, check in CHECKS.items():
        assert name == check.name
        assert check.why
        assert check.fix
        assert not {check.why[-1], check.fix[-1]} & set(". ")


@pytest.mark.slow
@pytest.mark.parametrize("name", OURS)
def test_our_methods_keep_every_promise(name: str) -> None:
    method, modalities, options = OURS[name]
    report = check_method(method_class(method), values_of(method, modalities, **options))
    assert set(report.skipped) <= {
        "levels_can_be_encoded",
        "a_step_runs_on_a_gpu",
        "codes_are_the_codewords_of_their_indices",
        "indices_are_the_nearest_codewords",
        "updates_move_the_codebooks",
    }
    assert set(report.passed) | set(report.skipped) == set(CHECKS)


def test_the_global_random_state_is_left_as_it_was() -> None:
    before = torch.get_rng_state()
    check_method(DCID, TWO, only=["losses_are_named_scalars", "seed_decides_the_first_parameters"])
    assert torch.equal(before, torch.get_rng_state())


def test_checks_can_be_the_cases_of_a_parametrized_test() -> None:
    cases = method_checks(DCID, TWO)
    assert list(cases) == list(CHECKS)
    assert cases["encode_is_deterministic"]().passed == ("encode_is_deterministic",)


def test_a_wrong_name_and_features_of_unknown_shape_are_named() -> None:
    with pytest.raises(InputError, match=r"unknown check 'encode_is_deterministik'.*did you mean"):
        check_method(DCID, TWO, only=["encode_is_deterministik"])

    class Shapeless(DCID):
        config_class = type("ShapelessConfig", (DCIDConfig,), {"__annotations__": {}})

    values = {**TWO, "modalities": {m: dict(spec) for m, spec in TWO["modalities"].items()}}
    report = check_method(
        Shapeless, values, shapes={"speech": (5,), "touch": (3,)}, only=["encode_is_deterministic"]
    )
    assert report.passed


# a method that breaks each promise


class Odd(DCID):
    """DCID, to be broken."""

    name: ClassVar[str] = "odd"


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "odd", (__name__, "CURRENT"))


CURRENT: type[DCID] = Odd
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


@breaks("name_can_name_a_method")
def _() -> type[DCID]:
    return overriding(name="odd/one")


@breaks("registry_finds_the_class")
def _() -> type[DCID]:
    return overriding(name="dcid")


@breaks("config_survives_json")
def _() -> type[DCID]:
    def to_json(self: Any) -> dict[str, Any]:
        return {k: v for k, v in DCIDConfig.to_json(self).items() if k != "num_codes"}

    return overriding(config_class=looser(to_json=to_json))


@breaks("unknown_settings_are_refused")
def _() -> type[DCID]:
    return overriding(config_class=looser(model_config={"extra": "ignore"}))


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


@breaks("modalities_are_those_of_the_configuration")
def _() -> type[DCID]:
    return overriding(modalities=property(lambda self: ("touch", "speech")))


@breaks("every_parameter_has_one_optimizer", "trained_modules_have_parameters")
def _() -> type[DCID]:
    def trained_modules(self: Any) -> dict[str, nn.Module]:
        modules = DCID.trained_modules(self)
        modules.pop("decoder")
        return {**modules, "nothing": nn.ModuleList()}

    return overriding(trained_modules=trained_modules)


@breaks("quantizers_are_where_they_are_said_to_be")
def _() -> type[DCID]:
    return overriding(quantizers=lambda self: {"layer0": "layer.decoder"})


@breaks("codebooks_are_in_the_state_dict")
def _() -> type[DCID]:
    return overriding(codebook_keys=lambda self: {"layer0": "layer.codebook.table"})


@breaks("encode_has_documented_shapes")
def _() -> type[DCID]:
    return encoding(lambda model, m, e, x, mask: replace(e, indices=e.indices.int().long()[..., 0]))


@breaks("indices_are_in_range", "indices_are_the_nearest_codewords")
def _() -> type[DCID]:
    return encoding(lambda model, m, e, x, mask: replace(e, indices=e.indices + 1 - 13 * (e.indices > 50)))


@breaks("codes_are_the_codewords_of_their_indices")
def _() -> type[DCID]:
    return encoding(lambda model, m, e, x, mask: replace(e, codes=e.codes + 1))


@breaks("encode_is_deterministic", "encode_draws_nothing")
def _() -> type[DCID]:
    return encoding(lambda model, m, e, x, mask: replace(e, codes=e.codes + torch.rand(())))


@breaks("encode_changes_no_state")
def _() -> type[DCID]:
    def change(model: Any, m: str, e: Encoding, x: Any, mask: Any) -> Encoding:
        model.layer.codebook.idle += 1
        return e

    return encoding(change)


@breaks("encode_does_not_depend_on_batch_mates")
def _() -> type[DCID]:
    return encoding(lambda model, m, e, x, mask: replace(e, general=e.general - e.general.mean(0)))


@breaks("encode_follows_the_order_of_the_clips")
def _() -> type[DCID]:
    return encoding(lambda model, m, e, x, mask: replace(e, general=e.general.cumsum(0)))


@breaks("encode_takes_a_single_step")
def _() -> type[DCID]:
    return encoding(lambda model, m, e, x, mask: replace(e, general=e.general[:, [0, 1]]))


@breaks("encode_takes_any_number_of_steps")
def _() -> type[DCID]:
    place = torch.rand(12, 8)
    return encoding(lambda model, m, e, x, mask: replace(e, general=e.general + place[: x.shape[1]]))


@breaks("a_full_mask_is_as_good_as_none")
def _() -> type[DCID]:
    return encoding(lambda model, m, e, x, mask: e if mask is None else replace(e, general=e.general + 1))


def _without_mask(self: Any, modality: str, features: Any, mask: Any = None) -> Encoding:
    return DCID.encode_batch(self, modality, features)


@breaks(
    "encode_ignores_the_padding", "padding_is_as_good_as_cutting", "a_clip_without_the_modality_is_encoded"
)
def _() -> type[DCID]:
    return overriding(encode_batch=_without_mask)


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


@breaks("losses_are_named_scalars")
def _() -> type[DCID]:
    return losses(lambda model, terms, batch, r, g: {k: v.unsqueeze(0) for k, v in terms.items()})


@breaks("names_of_losses_are_paths")
def _() -> type[DCID]:
    return losses(lambda model, terms, batch, r, g: {**terms, "club//all": terms["cpc"]})


@breaks("names_of_losses_do_not_depend_on_the_batch")
def _() -> type[DCID]:
    def change(model: Any, terms: Any, batch: FeatureBatch, r: Any, g: Any) -> Any:
        return terms if len(batch) > 1 else {k: v for k, v in terms.items() if k != "cpc"}

    return losses(change)


@breaks("the_generator_decides_every_draw_of_the_losses")
def _() -> type[DCID]:
    return losses(lambda model, terms, batch, r, g: {**terms, "cpc": terms["cpc"] * torch.rand(())})


@breaks("a_representation_that_is_handed_on_gives_the_same_losses")
def _() -> type[DCID]:
    return losses(lambda model, terms, batch, r, g: {**terms, "cpc": terms["cpc"] + (r is None)})


@breaks("losses_change_no_state")
def _() -> type[DCID]:
    def change(model: Any, terms: Any, batch: Any, r: Any, g: Any) -> Any:
        model.layer.codebook.idle += 1
        return terms

    return losses(change)


@breaks("loss_factors_are_about_terms")
def _() -> type[DCID]:
    return overriding(loss_factors=lambda self: {"clubb": 0.5})


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


@breaks("losses_follow_float64")
def _() -> type[DCID]:
    return losses(lambda model, terms, batch, r, g: {k: v.float() for k, v in terms.items()})


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


@breaks(
    "a_batch_without_a_modality_is_refused",
    "a_batch_with_an_unknown_modality_is_refused",
    "a_batch_of_another_shape_is_refused",
)
def _() -> type[DCID]:
    return overriding(represent=_lenient)


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


@breaks(
    "losses_ignore_the_padding",
    "losses_ignore_nan_in_the_padding",
    "losses_ignore_what_stands_for_a_missing_modality",
    "statistics_ignore_what_is_missing",
    "a_modality_that_a_batch_lacks_costs_nothing",
    "modalities_that_never_meet_train",
)
def _() -> type[DCID]:
    return overriding(represent=_masks_forgotten)


@breaks("batches_with_missing_modalities_train", "a_run_with_missing_modalities_ends")
def _() -> type[DCID]:
    def change(model: Any, terms: Any, batch: FeatureBatch, r: Any, g: Any) -> Any:
        missing = sum((~mask.any(1)).sum() for mask in batch.masks.values())
        return {**terms, "cpc": terms["cpc"] / (missing == 0)}

    return losses(change)


@breaks("quantized_batches_fit_the_quantizers", "statistics_are_floats_by_code_layer")
def _() -> type[DCID]:
    return overriding(quantized_batches=lambda self, representation: {})


@breaks("updates_move_the_codebooks")
def _() -> type[DCID]:
    return overriding(update_codebooks=lambda self, representation, *, generator: None)


def updating(change: Callable[[Any, Any], None]) -> type[DCID]:
    """A method that does one more thing in an update: `change(model, generator)`."""

    def update_codebooks(self: Any, representation: Any, *, generator: Any) -> None:
        DCID.update_codebooks(self, representation, generator=generator)
        with torch.no_grad():
            change(self, generator)

    return overriding(update_codebooks=update_codebooks)


@breaks("updates_do_nothing_in_evaluation")
def _() -> type[DCID]:
    return updating(lambda model, g: model.layer.codebook.idle.add_(1))


@breaks("updates_leave_the_parameters_alone")
def _() -> type[DCID]:
    return updating(lambda model, g: next(model.parameters()).mul_(0.9))


@breaks("the_generator_decides_every_draw_of_an_update")
def _() -> type[DCID]:
    return updating(lambda model, g: model.layer.codebook.embedding.add_(torch.rand(())))


@breaks("codebooks_carry_no_graph")
def _() -> type[DCID]:
    return updating(lambda model, g: model.layer.codebook.embedding.requires_grad_())


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


@pytest.mark.parametrize("name", [name for name in CHECKS if name != "a_step_runs_on_a_gpu"])
def test_every_check_can_fail(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = BROKEN[name]()
    monkeypatch.setattr(f"{__name__}.CURRENT", made)
    with pytest.raises(MethodCheckError) as caught:
        check_method(made, copy.deepcopy(TWO), only=[name])
    (text,) = caught.value.failures.values()
    assert f". Why it matters: {CHECKS[name].why}. How to fix it: {CHECKS[name].fix}." in text
    assert str(caught.value).startswith(f"{made.__name__} fails 1 of {len(CHECKS)} checks\n{name}: ")
