"""A tiny real run: trained, measured, tabulated, drawn, and read back."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import torch

from benchmarks.experiments.masking import masks, runs, settings
from benchmarks.experiments.masking.__main__ import masking, run
from benchmarks.experiments.masking.masks import TOC, Masked
from benchmarks.experiments.masking.photos import grid_crops, load_photos
from benchmarks.experiments.masking.runs import INPUTS, Outcome, _geometry, run_all
from benchmarks.experiments.masking.tables import tables, tidy_csv
from benchmarks.experiments.masking.vqvae import Settings, train
from unicode_cmg.console import run_command
from unicode_cmg.errors import InputError

pytestmark = pytest.mark.slow
TINY = Settings(channels=4, steps=3, batch=8)


@pytest.fixture(scope="module")
def photos() -> dict[str, np.ndarray]:
    """The upper rows: every window that is shown, and a grid of few crops."""
    return {name: photo[:352] for name, photo in load_photos().items()}


@pytest.fixture(scope="module")
def finished(photos: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the command, with three random masks instead of 100, and every eighth test crop."""
    to = tmp_path_factory.mktemp("masking") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(masks, "RANDOM_MASKS", 3)
        patch.setattr(runs, "grid_crops", lambda photos, split: grid_crops(photos, split)[::8])
        run(photos, TINY, (0, 1), to)
    return to


def test_the_seed_decides_everything_and_no_random_number_of_others(photos: dict[str, np.ndarray]) -> None:
    before = torch.get_rng_state()
    first, same, other = (train(list(photos.values()), TINY, seed).state_dict() for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["decoder.0.weight"], other["decoder.0.weight"])
    assert not torch.equal(first["quantizer._codebook.embed"], other["quantizer._codebook.embed"])


def test_training_reconstructs_better_than_one_colour_for_all(photos: dict[str, np.ndarray]) -> None:
    images = grid_crops(list(photos.values()), "val")
    model = train(list(photos.values()), Settings(channels=8, steps=80, batch=16, lr=1e-2), 0)
    with torch.inference_mode():
        error = (model(images).images - images).square().mean()
    assert error < 0.8 * images.var()


def test_a_run_writes_its_numbers_and_pictures(finished: Path) -> None:
    outcomes = json.loads((finished / "results.json").read_text())
    assert [(o["inputs"], o["seed"]) for o in outcomes] == [
        (kind, seed) for kind in INPUTS for seed in (0, 1)
    ]
    for outcome in outcomes:
        assert {entry["fill"] for entry in outcome["masked"]} == {"zero", "mean"}
        assert {96, 80, 64, 48, 32, 16, outcome["automatic"]} == {e["kept"] for e in outcome["masked"]}
        assert 1 <= outcome["perplexity"] <= 128
        assert 0 <= outcome["offset"] <= 1
        assert 1 <= outcome["directions"] <= 128
        assert 0 <= outcome["alignment"] <= 1
    for name in ("masking-pictures.png", "masking-curves.png"):
        assert matplotlib.image.imread(finished / name).shape[1] > 800
    assert not list(finished.rglob(".*"))  # no scratch files


def by_hand(seed: int, more: float, **orders: float) -> Outcome:
    """Errors of one model, the same for each number of kept dimensions and each fill."""
    others = dict.fromkeys(("similarity only", "variance only", "released", "worst kept", "PCA"), 0.2)
    chosen = {TOC: 0.15, "codebook centred": 0.05, **others, **orders}
    random = (0.5 + more, 0.1 + more, 0.3 + more)
    entries = [
        Masked(kept, fill, random, chosen)
        for kept in (96, 80, 64, 48, 32, 16, 90)
        for fill in ("zero", "mean")
    ]
    return Outcome("centred", seed, 12.4, 0.01, 40.04, 0.25 + more, 1.5, 0.875, 90, entries)


def test_table_rows_by_hand() -> None:
    one, other = by_hand(0, 0), by_hand(1, 0.2, **{"variance only": 0.4})
    single, both = tables([one]), tables([one, other])
    spread = "| 0.1500 ± 0.0000 | 0.2000 ± 0.0000 | 0.3000 ± 0.1414 | 0.2000 ± 0.0000"
    for text, line in (
        (single, "| centred | 1 | 0.0100 | 40.0 | 0.25 | 1.50 | 0.88 | 90 | 12 |"),
        (single, "| centred | zero | 87.5 | 0.3000 | 0.1500 | 2 | 0.50 | 0.37, 100 | 0.0500 | 3 |"),
        (single, "| centred | mean | auto (29.7) | 0.3000 | 0.1500 | 2 | 0.50 |  | 0.0500 | 3 |"),
        (single, "| centred | 0 | 0.25 | 0.88 | 0.3000 | 0.1500 | 2 | 0.0500 | 3 |"),
        (single, "| centred | mean | 25.0 | 0.1500 | 0.2000 | 0.2000 | 0.2000 | 0.2000 | 0.2000 |"),
        (both, "| centred | zero | 50.0 | 0.4000 ± 0.1414 | 0.1500 ± 0.0000 | 2 ± 1 | 0.40 ± 0.14 | 0.38,"),
        (both, f"| centred | zero | 50.0 {spread} | 0.2000 ± 0.0000 | 0.2000 ± 0.0000 |"),
        (both, "| centred | 1 | 0.45 | 0.88 | 0.5000 | 0.1500 | 3 | 0.0500 | 3 |"),
    ):
        assert f"\n{line}" in text
    rows = list(csv.DictReader(tidy_csv([one]).splitlines()))
    assert len(rows) == 1 + 14 * (7 + 3)
    written = {"inputs": "centred", "seed": "0", "fill": "zero", "kept": "96", "order": TOC, "mse": "0.15"}
    assert rows[1] == written


def test_finished_seeds_are_read_back(photos: dict[str, np.ndarray], finished: Path) -> None:
    kept = {file: file.stat().st_mtime_ns for file in finished.glob("*/seed-*/*")}
    assert len(kept) == 2 * 2 * 3
    outcomes = list(run_all(photos, TINY, (0, 1), finished))
    assert {file: file.stat().st_mtime_ns for file in finished.glob("*/seed-*/*")} == kept
    assert tables(outcomes) == (finished / "table.md").read_text()


def test_a_folder_of_other_settings_is_refused(photos: dict[str, np.ndarray], finished: Path) -> None:
    with pytest.raises(InputError, match=r"centred/seed-0: holds a model with other settings.*--to"):
        next(run_all(photos, TINY.model_copy(update={"steps": 4}), (0,), finished))


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("model.safetensors", "torn", "the model cannot be read"),
        ("result.json", '{"mse": 1}', "not a result of this version"),
        ("training.json", '{"seconds":', "not valid JSON"),
    ],
)
def test_broken_files_are_named(
    photos: dict[str, np.ndarray], finished: Path, tmp_path: Path, file: str, text: str, message: str
) -> None:
    seed = tmp_path / "centred" / "seed-0"
    seed.mkdir(parents=True)
    for source in (finished / "centred" / "seed-0").iterdir():
        (seed / source.name).write_bytes(source.read_bytes())
    (seed / file).write_text(text)
    with pytest.raises(InputError, match=message):
        next(run_all(photos, TINY, (0,), tmp_path))


def test_settings_are_compared_on_validation_crops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = {"steps": 2, "channels": 4, "batch": 8}
    monkeypatch.setattr(settings, "TRIED", {"shipped": small, "one step": {**small, "steps": 1}})
    settings.settings(to=tmp_path, seed=5)
    model = train(list(load_photos().values()), Settings(**small), 5)
    images = grid_crops(list(load_photos().values()), "val")
    with torch.inference_mode():
        error = (model(images).images - images).square().mean()
    printed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert [line.split("|")[1].strip() for line in printed] == ["variant", "---", "shipped", "one step"]
    assert f"| shipped | {error:.5f} |" in printed[2]


def test_every_tried_setting_differs_from_the_shipped_ones() -> None:
    (first, *others) = (Settings(**changes) for changes in settings.TRIED.values())
    assert first == Settings()
    assert first not in others


def test_offset_directions_and_alignment_of_a_codebook_by_hand() -> None:
    steps = torch.tensor([3.0, -3.0, 0.0, 0.0]), torch.tensor([0.0, 0.0, 1.0, -1.0])
    codebook = torch.stack([steps[0] + 2, steps[1] + 2], dim=1).double()
    geometry = _geometry(codebook)
    assert geometry["offset"] == pytest.approx(32 / (32 + 20))  # 4 codes: 4 * |(2, 2)|^2, then 18 + 2
    assert geometry["directions"] == pytest.approx(20**2 / (18**2 + 2**2))
    assert geometry["alignment"] == pytest.approx(0.5**0.5)


@pytest.mark.parametrize("seeds", ["one", "", "0,,1", "-1", "2,2"])
def test_wrong_seeds_are_one_line_and_exit_code_two(
    seeds: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["masking", "--to", str(tmp_path), f"--seeds={seeds}"])
    with pytest.raises(SystemExit) as stopped:
        run_command(masking)
    assert stopped.value.code == 2
    assert capsys.readouterr().err == (
        f"error: --seeds: cannot read '{seeds}'; expected different whole numbers such as 0,1,2\n"
    )
    assert not list(tmp_path.iterdir())
