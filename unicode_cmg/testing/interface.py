"""What a method says about itself: name, configuration, modules, quantizers."""

from __future__ import annotations

import json

from unicode_cmg.batch import can_name_module
from unicode_cmg.codebook import Quantizer
from unicode_cmg.config import Config
from unicode_cmg.errors import InputError
from unicode_cmg.registry import model_class
from unicode_cmg.testing.check import check
from unicode_cmg.testing.subject import Subject, changed, refusing, require, state_of


@check(
    why="configurations, checkpoints and results call a method by its name",
    fix="set the class attribute `name` to a text without '.' and '/'",
)
def name_can_name_a_method(subject: Subject) -> None:
    name = getattr(subject.method, "name", None)
    require(isinstance(name, str) and name and not set("./") & set(name), f"the name is {name!r}")


@check(
    why="`pretrain` and `load_pretrained` find a method by its name",
    fix='offer it: [project.entry-points."unicode_cmg.methods"] with NAME = "module:Class", or add a line to '
    "unicode_cmg/registry.py",
)
def registry_finds_the_class(subject: Subject) -> None:
    try:
        found = model_class(subject.method.name)
    except InputError:
        found = None
    require(found is subject.method, f"the registry has {found} under the name '{subject.method.name}'")


@check(
    why="`config.json` of a checkpoint rebuilds the model",
    fix="derive the configuration from unicode_cmg.config.Config, with fields that pydantic writes as JSON",
)
def config_survives_json(subject: Subject) -> None:
    require(issubclass(subject.method.config_class, Config), "config_class is not derived from Config")
    config = subject.build().config
    values = json.loads(json.dumps(config.to_json()))
    again = subject.method.config_class.parse(values, where="config.json")
    require(again == config, "the configuration read back from JSON is another one")


@check(
    why="a misspelt setting that is ignored trains the wrong thing for hours",
    fix="derive the configuration from unicode_cmg.config.Config and do not allow extra fields",
)
def unknown_settings_are_refused(subject: Subject) -> None:
    with refusing("a setting that does not exist", "surely_no_setting"):
        subject.method.from_values({**subject.values, "surely_no_setting": 1}, where="test")


@check(
    why="the settings of a model are those it was built with, and shared by everything that reads them",
    fix="pass the configuration to super().__init__(config) and change nothing in it",
)
def config_is_kept(subject: Subject) -> None:
    config = subject.method.config_class.parse(dict(subject.values), where="test")
    require(subject.method(config).config == config, "`config` of the model is not what it was built with")


@check(
    why="a run with the same seed must start from the same parameters",
    fix="draw the first parameters from torch's global generator, and from nothing else",
)
def seed_decides_the_first_parameters(subject: Subject) -> None:
    key = changed(state_of(subject.build(seed=3)), state_of(subject.build(seed=3)))
    require(key is None, f"two models built with the same seed differ in '{key}'")


@check(
    why="batches, masks and results are by modality",
    fix="return the names in the configuration from `modalities`: two or more, different, without '.'",
)
def modalities_are_those_of_the_configuration(subject: Subject) -> None:
    names = subject.build().modalities
    require(names == subject.modalities, f"modalities are {names}, those configured {subject.modalities}")
    require(2 <= len(names) == len(set(names)), f"modalities are {names}")
    require(all(map(can_name_module, names)), f"a name in {names} cannot name a module")


@check(
    why="a parameter in no optimizer never learns, and one in two is moved twice",
    fix="list every module with parameters in trained_modules() or critic_modules(), once",
)
def every_parameter_has_one_optimizer(subject: Subject) -> None:
    model = subject.build()
    listed = [id(p) for p in (*model.trained_parameters(), *model.critic_parameters())]
    require(len(listed) == len(set(listed)), "a parameter is listed twice")
    missing = [name for name, p in model.named_parameters() if p.requires_grad and id(p) not in listed]
    require(not missing, f"no optimizer has {', '.join(missing[:3])}")
    own = {id(p) for p in model.parameters()}
    require(set(listed) <= own, "an optimizer has a parameter that is not in the model")


@check(
    why="gradients are clipped for each module alone, and their norms are logged by its name",
    fix="leave modules without parameters out of trained_modules()",
)
def trained_modules_have_parameters(subject: Subject) -> None:
    modules = subject.build().trained_modules()
    require(modules, "trained_modules() is empty")
    for name, module in modules.items():
        require(any(p.requires_grad for p in module.parameters()), f"'{name}' has nothing to train")


@check(
    why="the codebooks are updated, measured, refined and exported through these paths",
    fix="map each name to the attribute path of a unicode_cmg.codebook.Quantizer",
)
def quantizers_are_where_they_are_said_to_be(subject: Subject) -> None:
    model = subject.build()
    require(model.quantizers(), "quantizers() is empty")
    for name in model.quantizers():
        require(isinstance(model.quantizer(name), Quantizer), f"'{name}' does not lead to a Quantizer")
    require(all(size > 1 for size in model.code_layers().values()), f"code layers are {model.code_layers()}")


@check(
    why="TOC, the report and `codes` read codebooks from the state dict",
    fix="keep each codebook as a buffer that codebook_keys() of its quantizer names",
)
def codebooks_are_in_the_state_dict(subject: Subject) -> None:
    model = subject.build()
    books, keys, state = model.codebooks(), model.codebook_keys(), model.state_dict()
    require(list(books) == list(keys), f"codebooks() has {list(books)}, codebook_keys() {list(keys)}")
    for layer, key in keys.items():
        require(key in state, f"the state dict has no '{key}'")
        size = model.code_layers()[layer]
        require(len(state[key]) == size, f"'{key}' has {len(state[key])} rows, the code layer {size} codes")
        require((state[key] == books[layer]).all(), f"'{key}' is not the codebook of {layer}")
