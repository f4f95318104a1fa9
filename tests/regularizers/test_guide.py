"""The page on adding a regularizer can be followed word for word, with its package as `pip` installs it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from guide_pages import code_blocks, installed_example
from places import DOCS
from safetensors.torch import load_file
from step_views import METHODS, method_of, view_of, with_noise_in_the_padding

from unicode_cmg import load_pretrained
from unicode_cmg.batch import StepView
from unicode_cmg.config import load_yaml
from unicode_cmg.errors import InputError
from unicode_cmg.regularizers import Regularizer, available_regularizers, regularizer_class
from unicode_cmg.training import PretrainConfig, fit

PAGE = (DOCS / "guide" / "add-a-regularizer.md").read_text(encoding="utf-8")


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The package of the page on the path, with the metadata that its pyproject.toml asks for."""
    monkeypatch.chdir(tmp_path)
    with installed_example(PAGE, tmp_path / "site-packages"):
        yield tmp_path


def made(view: StepView) -> Regularizer:
    kind = regularizer_class("distil", where="test")
    return kind(kind.config_class.parse({"column": "text"}, where="test"), view)


def test_the_example_is_installed_trained_logged_and_read_back(
    installed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, store, run = code_blocks(PAGE, "python")
    Path("distil.yaml").write_text(code_blocks(PAGE, "yaml")[0], encoding="utf-8")
    assert "distil" in available_regularizers()
    names: dict[str, object] = {}
    exec(compile(store, "add-a-regularizer.md", "exec"), names)
    exec(compile(run, "add-a-regularizer.md", "exec"), names)
    assert capsys.readouterr().out.strip().splitlines()[-1] == "torch.Size([8, 16])"
    (step,) = (json.loads(line) for line in Path("runs/distil/metrics.jsonl").read_text().splitlines())
    assert {"distil/clip/audio", "distil/clip/video"} <= step["loss"].keys()
    assert step["gradient_norm"]["distil"] > 0
    assert not any("readers" in key for key in load_file("runs/distil/model/model.safetensors"))
    assert load_pretrained("runs/distil").encode("audio", torch.zeros(1, 6, 20)).codes.shape == (1, 6, 16)


@pytest.mark.slow
def test_the_example_keeps_the_rules(installed: Path) -> None:
    config = PretrainConfig.parse(load_yaml(_prepared()), where="test")
    bare = config.model_copy(update={"regularizers": ()})
    settings = load_yaml(Path("distil.yaml"))
    settings["regularizers"][0]["weight"] = 0.0
    off = PretrainConfig.parse(settings, where="test")
    for name, settings in {"one": config, "two": config, "off": off, "bare": bare}.items():
        fit(settings, f"runs/{name}", progress=False)
    models = {
        name: load_file(f"runs/{name}/model/model.safetensors") for name in ("one", "two", "off", "bare")
    }
    for same, other in (("one", "two"), ("off", "bare")):
        assert all(torch.equal(x, models[other][key]) for key, x in models[same].items())
    assert not all(torch.equal(x, models["bare"][key]) for key, x in models["one"].items())


def _prepared() -> Path:
    Path("distil.yaml").write_text(code_blocks(PAGE, "yaml")[0], encoding="utf-8")
    exec(compile(code_blocks(PAGE, "python")[1], "add-a-regularizer.md", "exec"), {})
    return Path("distil.yaml")


@pytest.mark.parametrize("name", METHODS)
def test_the_example_works_with_every_method_and_is_steady_in_evaluation(name: str, installed: Path) -> None:
    view = view_of(method_of(name))
    view.masks["audio"][1] = False
    distil = made(view)

    def losses(seed: int, shown: StepView) -> list[float]:
        terms = distil.losses(shown, generator=torch.Generator().manual_seed(seed))
        return [loss.item() for loss in terms.values()]

    assert losses(0, view) == losses(0, with_noise_in_the_padding(view))
    assert losses(0, view) != losses(1, view)
    distil.eval()
    assert losses(0, view) == losses(1, view)


def test_the_example_refuses_a_column_on_a_grid(installed: Path) -> None:
    view = view_of(method_of("dcid"))
    kind = regularizer_class("distil", where="test")
    with pytest.raises(InputError, match=r"column 'video' has shape .*expected one vector per step"):
        kind(kind.config_class.parse({"column": "video"}, where="test"), view)


def test_the_tables_name_what_there_is() -> None:
    interface, view = (
        re.findall(r"^\| `(\w+)", table, flags=re.MULTILINE)
        for table in re.findall(r"(?:^\|.*\n)+", PAGE, flags=re.MULTILINE)
    )
    methods = {key for key in vars(Regularizer) if not key.startswith("_")} | {"__init__"}
    assert set(interface) == methods | {"name", "config_class"}
    assert view == list(StepView.__dataclass_fields__)
