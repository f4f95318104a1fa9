"""The model card: metadata the Hub reads, text people read, numbers of this model and no other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from released_files import RELEASED, loaded
from result_files import evaluation, written
from tiny_models import model_of

from unicode_cmg import InputError, Method


def built(**changes: Any) -> Method[Any]:
    return model_of("dcid", {"audio": {"dim": 6}, "video": {"dim": 4, "grid": [2, 3]}}, **changes).eval()


@pytest.fixture(scope="module")
def model() -> Method[Any]:
    return built()


def test_metadata_say_what_it_is_and_leave_the_license_open(model: Method[Any]) -> None:
    card = model.generate_model_card()
    metadata = card.data.to_dict()
    assert metadata["library_name"] == "unicode-cmg"
    assert {"unified-codebook", "multimodal", "dcid", "audio", "video"} <= set(metadata["tags"])
    assert metadata["pipeline_tag"] == "feature-extraction"
    assert "license" not in metadata
    assert "model-index" not in metadata
    assert "## Evaluation" not in card.text
    assert model.generate_model_card(license="mit").data.license == "mit"


def test_the_text_describes_inputs_codes_and_settings(model: Method[Any]) -> None:
    text = model.generate_model_card().text
    assert "# DCID: the same codes for audio, video" in text
    assert "| audio | 6 channels |" in text
    assert "| video | 4 channels at each of 2 x 3 positions |" in text
    assert "| layer0 | 12 | 8 |" in text
    settings = re.search(r"```yaml\n(.*?)\n```", text, flags=re.DOTALL)
    assert settings is not None
    assert yaml.safe_load(settings[1]) == model.config.model_dump(mode="json")


def test_the_code_it_shows_runs(model: Method[Any], tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "model")
    card = ModelCard.load(tmp_path / "model/README.md")
    code = re.search(r"```python\n(.*?)\n```", card.text, flags=re.DOTALL)
    assert code is not None
    names: dict[str, Any] = {"features": torch.randn(2, 5, 6)}
    exec(code[1].replace("user/name", str(tmp_path / "model")), names)
    assert names["encoding"].indices.shape == (2, 5, 1)


def test_finite_scalars_have_no_codebook_to_show() -> None:
    fsq = built(codebook={"quantizer": "fsq", "levels": [4, 3]})
    assert "| layer0 | 12 | - |" in fsq.generate_model_card().text


@pytest.mark.parametrize("method", RELEASED)
def test_the_card_of_a_released_model_says_so(method: str) -> None:
    model = loaded(method)
    text = " ".join(model.generate_model_card().text.split())
    assert model.origin is not None
    assert f"checkpoint (modules {', '.join(model.origin.modules)})" in text
    assert all(f"`{part}`" in text for part in model.origin.fresh)
    assert ("fresh parameters" in text) == bool(model.origin.fresh)


def test_the_numbers_of_a_run_enter_text_and_model_index(model: Method[Any], tmp_path: Path) -> None:
    folder = tmp_path / "run/evaluation"
    written(folder / "ave.json", evaluation(model))
    toc = [
        {
            **{"code_layer": "layer0", "kept": 4, "n_dims": 8, "lam": 0.3},
            **{"variant": "paper", "centered": False, "codebook_sha256": "0" * 64, "use": "slice"},
        }
    ]
    written(folder / "ave-toc.json", evaluation(model, toc=toc, protocol="paper", leaks=["tested on train"]))
    written(folder / "ave-shuffled.json", evaluation(model, permute_codes_seed=0))
    written(folder / "codes.json", {"codes": 12})
    card = model.generate_model_card(results=tmp_path / "run")
    text = card.text
    assert "**ave, protocol held-out, 3 seeds**" in text
    assert "**ave, protocol paper, 3 seeds, TOC keeps 4 of 8 dimensions of layer0**" in text
    assert "| audio → video | 71.2 | 1.5 | transfer |" in text
    assert "| video → audio | 68.0 | - | transfer |" in text
    assert text.count("These numbers are too good: tested on train.") == 1
    index = yaml.safe_load(str(card).split("---")[1])["model-index"]
    assert [entry["name"] for entry in index] == ["DCID"]
    rows = [
        (result["dataset"]["args"]["protocol"], result["dataset"]["config"], metric["name"], metric["value"])
        for result in index[0]["results"]
        for metric in result["metrics"]
    ]
    assert len(rows) == 6
    assert ("held-out", "ave, protocol held-out, 3 seeds", "accuracy %, audio → video", 71.25) in rows
    toc_heading = "ave, protocol paper, 3 seeds, TOC keeps 4 of 8 dimensions of layer0"
    assert ("paper", toc_heading, "accuracy %, audio → audio", 90.0) in rows


def test_results_json_and_a_single_file_are_read_too(model: Method[Any], tmp_path: Path) -> None:
    single = written(tmp_path / "ave.json", evaluation(model))
    both = written(tmp_path / "run/results.json", {"evaluations": {"ave": evaluation(model)}})
    expected = str(model.generate_model_card(results=single))
    for path in (both, both.parent, str(both)):
        assert str(model.generate_model_card(results=path)) == expected


def test_other_measures_keep_their_name(model: Method[Any], tmp_path: Path) -> None:
    values = evaluation(model)
    for row in values["directions"]:
        row["metric"] = "segment_f1"
    text = model.generate_model_card(results=written(tmp_path / "avvp.json", values)).text
    assert "| direction | segment f1 % | std | kind |" in text


def test_numbers_of_another_model_are_refused(model: Method[Any], tmp_path: Path) -> None:
    path = written(tmp_path / "ave.json", evaluation(model))
    with torch.no_grad():
        other = built()
        next(other.parameters()).add_(1)
    with pytest.raises(InputError, match=r"ave.json: the evaluation 'ave' is of another model; expected"):
        other.generate_model_card(results=path)
    with pytest.raises(InputError, match="of another model"):
        other.save_pretrained(tmp_path / "model", model_card_kwargs={"results": path})


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({}, "there are no results of an evaluation here; expected a run that was evaluated"),
        ({"directions": []}, "x.json: evaluation 'x': 'task' is missing"),
        ({"directions": 3}, "x.json: evaluation 'x': 'directions' is 3; expected a valid tuple"),
        ([1], "there are no results of an evaluation here"),
    ],
)
def test_other_json_is_refused(model: Method[Any], values: Any, says: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=re.escape(says)):
        model.generate_model_card(results=written(tmp_path / "x.json", values))


def test_a_run_without_results_is_refused(model: Method[Any], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"results.json: no such file"):
        model.generate_model_card(results=tmp_path)
    written(tmp_path / "evaluation/ave-shuffled.json", evaluation(model, permute_codes_seed=0))
    with pytest.raises(InputError, match="there are no results of an evaluation here"):
        model.generate_model_card(results=tmp_path)
