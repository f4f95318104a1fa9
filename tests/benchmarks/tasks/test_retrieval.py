"""Zero-shot retrieval, from folder to result."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import tiny_runs
import torch
from tiny_ave import DIM, tiny_model
from tiny_retrieval import CAPTIONS, ITEMS
from tiny_runs import one_code_a_clip
from torch import nn
from untrained_method import Book

from benchmarks import HeadConfig, TaskResult, evaluate
from benchmarks.tasks import read_task, resolve_task
from toc import optimize
from unicode_cmg.data.layouts.retrieval import read_retrieval, write_caption_words, write_retrieval
from unicode_cmg.errors import InputError

SETS = {"clotho": ("audio", "text"), "coco": ("video", "text"), "flickr-sound": ("audio", "video")}


def run(root: Path, name: str, protocol: str = "held-out", **options: Any) -> TaskResult:
    return tiny_runs.run(f"retrieval-{name}", root, protocol, **options)


@pytest.mark.parametrize("name", SETS)
def test_what_is_about_the_same_is_found_at_once(retrieval: Path, name: str) -> None:
    result = run(retrieval, name)
    assert {frozenset((row.source, row.target)) for row in result.directions} == {frozenset(SETS[name])}
    assert len(result.directions) == 2
    for row in result.directions:
        values = {row.metric: row.mean} | {key: other.mean for key, other in row.others.items()}
        assert values == {"R@10": 100, "R@1": 100, "R@5": 100, "mean rank": 1, "median rank": 1}
        assert (row.std, row.epochs_selected, row.kind) == (None, (), "transfer")


def test_no_head_is_trained(retrieval: Path) -> None:
    result = run(retrieval, "clotho")
    assert (result.head, result.seeds, result.classes, result.chance, result.majority) == (
        *(None, (), (), None, None),
    )
    with pytest.raises(InputError, match="trains no head"):
        run(retrieval, "clotho", head=HeadConfig(epochs=1))


def collapsed() -> nn.Module:
    """A model that has few codes left, so that many items look the same."""
    model = tiny_model()
    model.books[0] = Book(model.books[0].embedding[[0, 4, 12, 20]])
    return model


def clip_vectors(model: Any, data: Any, modality: str, part: str) -> np.ndarray:
    """`[clips, D]`: codes or general features of each clip, averaged over its steps, of length one."""
    found = []
    for i in range(len(data.item_of(modality))):
        clip = data.features(modality, np.array([i]))
        encoding = model.encode(modality, torch.from_numpy(clip.values[:, clip.mask[0]]))
        mean = getattr(encoding, part)[0].detach().double().mean(dim=0).numpy()
        found.append(mean / np.linalg.norm(mean))
    return np.array(found)


@pytest.mark.slow
def test_places_are_what_is_expected_of_the_tied(retrieval: Path) -> None:
    """Everything from the zips to the numbers once more, with sums over every right answer and every tie."""
    model, data = collapsed().eval(), read_retrieval("clotho", retrieval)
    row = run(retrieval, "clotho", model=model).direction("text", "audio")

    def vectors(modality: str) -> np.ndarray:
        return clip_vectors(model, data, modality, "codes")

    scores = (vectors("text") @ vectors("audio").T).round(6)
    places, within = [], {1: [], 5: [], 10: []}
    for caption, item in enumerate(data.item_of("text")):
        above = int((scores[caption] > scores[caption, item]).sum())
        tied = int((scores[caption] == scores[caption, item]).sum())
        places.append(above + (tied + 1) / 2)
        for k, shares in within.items():
            shares.append(min(max(k - above, 0), tied) / tied)
    measures = {row.metric: row.mean} | {name: other.mean for name, other in row.others.items()}
    for k, shares in within.items():
        assert measures[f"R@{k}"] == pytest.approx(100 * np.mean(shares), abs=1e-4)
    assert measures["mean rank"] == pytest.approx(np.mean(places), abs=1e-4)
    assert measures["median rank"] == pytest.approx(np.median(places), abs=1e-4)
    assert 5 < measures["R@1"] < 50 < measures["R@5"] < 95


@pytest.mark.slow
def test_what_was_quantized_is_ranked_beside_the_codes(retrieval: Path) -> None:
    model, data = tiny_model(foreign="text"), read_retrieval("clotho", retrieval)
    row = run(retrieval, "clotho", model=model, continuous=True).direction("text", "audio")
    scores = clip_vectors(model, data, "text", "general") @ clip_vectors(model, data, "audio", "general").T
    better = [int((line > line[item]).sum()) for line, item in zip(scores, data.item_of("text"), strict=True)]
    assert row.continuous is not None
    assert row.continuous.mean == pytest.approx(100 * np.mean(np.array(better) < 10))
    assert row.continuous.mean not in (row.mean, 100)
    for way in ({"continuous": False}, {"continuous": True, "protocol": "paper"}):
        assert run(retrieval, "clotho", **way).directions[0].continuous is None


def test_the_constant_is_a_ranking_without_any_similarity(retrieval: Path) -> None:
    model = tiny_model()
    model.books[0] = Book(model.books[0].embedding[:1])
    result = run(retrieval, "clotho", model=model)
    for row in result.directions:
        assert row.mean == pytest.approx(row.constant)
        assert row.others["mean rank"].mean == pytest.approx(row.others["mean rank"].constant)
    assert result.direction("text", "audio").mean == pytest.approx(100 * 10 / len(ITEMS))


@pytest.mark.slow
def test_renaming_the_codes_of_the_target_brings_the_ranking_down_to_the_blind_one(retrieval: Path) -> None:
    found = [run(retrieval, "flickr-sound", permute_codes_seed=seed).directions for seed in range(12)]
    for rows in zip(*found, strict=True):
        assert abs(np.mean([row.mean for row in rows]) - rows[0].constant) < 15
    assert all(row.mean == 100 for row in run(retrieval, "flickr-sound").directions)


def test_the_interval_draws_items_with_all_their_captions(retrieval: Path) -> None:
    """Captions of an item say the same here: five times as many queries make nobody five times as sure."""
    result = run(retrieval, "clotho", model=collapsed())
    widths = {}
    for row in result.directions:
        low, high = row.others["R@5"].interval or (0.0, 0.0)
        widths[row.source] = high - low
    assert 0.6 < widths["text"] / widths["audio"] < 1.7
    assert result.directions[0].others["median rank"].interval is None


def test_toc_and_layers_go_through_retrieval(retrieval: Path) -> None:
    codebook = tiny_model().codebooks()["layer0"].numpy()
    whole, few = (run(retrieval, "clotho", toc=optimize(codebook, n)) for n in (DIM, 1))
    assert whole.directions == run(retrieval, "clotho").directions
    assert few.directions[0].others["R@1"].mean < 60
    assert run(retrieval, "clotho", toc="auto").toc is not None
    layered = run(retrieval, "clotho", model=tiny_model(layers=2), code_layers=["layer0"])
    assert layered.code_layers == ("layer0",)
    assert layered.directions[0].mean == 100


def test_a_model_with_one_code_a_clip_is_ranked_by_it(retrieval: Path) -> None:
    result = run(retrieval, "clotho", model=one_code_a_clip(tiny_model()))
    assert all(row.mean > 5 for row in result.directions)
    assert result.data.counts == {"test audio": len(ITEMS), "test text": len(ITEMS) * CAPTIONS}


def test_the_papers_clotho_is_as_many_captions_as_there_are_sounds(retrieval: Path) -> None:
    result = run(retrieval, "clotho", "paper")
    # 21 captions: those of four sounds, and the first one of a fifth
    assert result.data.counts == {"released audio": 5, "released text": 21}
    assert [leak.split(":")[0] for leak in result.leaks] == ["P12", "P14"]
    assert result.directions[0].interval is None


def test_the_papers_coco_has_a_copy_of_the_picture_for_each_caption(retrieval: Path) -> None:
    """Copies of a picture are tied, and all but one of them count as wrong."""
    result = run(retrieval, "coco", "paper")
    assert result.data.counts == {"released": len(ITEMS) * CAPTIONS}
    assert [leak.split(":")[0] for leak in result.leaks] == ["P13", "P14"]
    for row in result.directions:
        assert row.mean == 100
        assert row.others["R@1"].mean == pytest.approx(100 / CAPTIONS)
        assert row.others["mean rank"].mean == pytest.approx((1 + CAPTIONS) / 2)


def test_the_encoder_sees_each_row_once(retrieval: Path) -> None:
    model = tiny_model()
    run(retrieval, "coco", "paper", model=model)
    clips = {m: sum(n for name, n, *_ in model.encoded if name == m) for m in ("video", "text")}
    assert clips == {"video": len(ITEMS), "text": len(ITEMS) * CAPTIONS}


def test_batches_of_other_lengths_give_the_same_codes(
    retrieval: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = run(retrieval, "clotho", model=collapsed()).directions
    monkeypatch.setattr("benchmarks.evaluation.clip_codes.BATCH_CLIPS", 2)
    assert run(retrieval, "clotho", model=collapsed()).directions == before


def test_retrieval_alone_means_the_one_set_that_is_there(retrieval: Path, tmp_path: Path) -> None:
    assert resolve_task("retrieval", retrieval / "MSCOCO") == "retrieval-coco"
    assert resolve_task("ave", tmp_path) == "ave"
    result = evaluate(tiny_model(), "retrieval", retrieval / "clotho2.1")
    assert result.task == "retrieval-clotho"
    with pytest.raises(InputError, match=r"3 retrieval sets.*retrieval-clotho, retrieval-coco"):
        evaluate(tiny_model(), "retrieval", retrieval)
    with pytest.raises(InputError, match="no retrieval set"):
        evaluate(tiny_model(), "retrieval", tmp_path)


def test_valor_is_searched_with_captions_if_their_words_have_vectors(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    clips = {f"clip{i}": rng.normal(size=(3, DIM)).astype(np.float32) for i in range(6)}
    write_retrieval(
        "valor", tmp_path, {"video": clips, "audio": clips}, [(c, "someone speaks") for c in clips]
    )
    assert len(run(tmp_path, "valor").directions) == 2
    data = read_retrieval("valor", tmp_path)
    write_caption_words(data, [rng.normal(size=(2, DIM)) for _ in data.captions])
    assert len(run(tmp_path, "valor").directions) == 6


def test_captions_without_vectors_are_asked_for_by_name(retrieval: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(retrieval / "clotho2.1", tmp_path / "copy"))
    (copy / "text_feature.h5").unlink()
    with pytest.raises(InputError, match=r"text_feature\.h5"):
        run(copy, "clotho")


def test_a_modality_is_not_searched_in_itself(retrieval: Path) -> None:
    assert len(run(retrieval, "clotho", directions=["audio->audio", "audio->text"]).directions) == 1
    with pytest.raises(InputError, match="nothing to retrieve from audio->audio"):
        run(retrieval, "clotho", directions=["audio->audio"])


def test_the_fingerprint_follows_captions_and_features(retrieval: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(retrieval, tmp_path / "copy"))
    same = read_task("retrieval-clotho", copy).fingerprint()
    table = read_retrieval("clotho", copy).table
    table.write_text(table.read_text().replace("caption 3 of", "caption three of", 1))
    assert read_task("retrieval-clotho", copy).fingerprint() != same


def test_the_table_has_every_measure(retrieval: Path) -> None:
    result = run(retrieval, "flickr-sound")
    header = next(line for line in result.table().splitlines() if line.startswith("|"))
    assert [cell.strip() for cell in header.split("|")[1:-1]] == [
        *("direction", "R@10 %", "95 % interval", "R@1 %", "R@5 %", "mean rank", "median rank"),
        *("constant %", "kind"),
    ]


def fcid(**settings: Any) -> Any:
    modalities = {m: {"dim": DIM} for m in ("audio", "video", "text")}
    roles = {"fine": ["audio", "video"], "coarse": ["text"]}
    return tiny_models.model_of("fcid", modalities, **roles, **settings)


def test_fcid_is_evaluated_with_codes_of_steps_or_of_clips_and_the_result_says_which(retrieval: Path) -> None:
    by_default, clip = (run(retrieval, "clotho", model=fcid(), level=level) for level in (None, "clip"))
    assert (by_default.level, clip.level) == ("segment", "clip")
    assert "\nlevel: clip\n" in clip.table()
    assert clip.directions == run(retrieval, "clotho", model=fcid(level="clip")).directions
    assert clip.directions != by_default.directions
    assert TaskResult.from_json(clip.to_json()) == clip


def test_the_paper_protocol_names_a_level_that_the_released_code_does_not_have(retrieval: Path) -> None:
    steps, clip = (run(retrieval, "clotho", "paper", model=fcid(), level=level) for level in (None, "clip"))
    assert steps.departures == ("level segment: the released FCID gives a clip one code for retrieval",)
    assert clip.departures == run(retrieval, "clotho", "paper").departures == ()
    assert f"\nDEPARTURE {steps.departures[0]}\n" in steps.table()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (fcid, "a fcid model has no level 'second'; expected one of segment, clip"),
        (tiny_model, "has no level 'second'; leave it out: its codes have one level only"),
    ],
)
def test_a_level_that_the_model_does_not_offer_is_refused(retrieval: Path, model: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        run(retrieval, "clotho", model=model(), level="second")
