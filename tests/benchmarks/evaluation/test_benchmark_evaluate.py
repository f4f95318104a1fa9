from __future__ import annotations

import dataclasses
import json
import shutil
import statistics
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from tiny_ave import CLASSES, CODES, COUNTS, DIM, tiny_model, write_tiny_ave

from benchmarks import HeadConfig, TaskResult, available_protocols, available_tasks, evaluate
from benchmarks.evaluation.clip_codes import encode_clips
from benchmarks.evaluation.protocols import HELD_OUT, PAPER
from benchmarks.refinement import refined, view_of
from benchmarks.tasks import read_task
from toc import optimize
from unicode_cmg.errors import InputError

FAST = HeadConfig(lr=0.02, epochs=8, batch_size=16)


def copy_of(ave: Path, to: Path) -> Path:
    return Path(shutil.copytree(ave, to / "copy"))


def change(ave: Path, file: str, key: str, edit: Callable[[np.ndarray], None]) -> None:
    with h5py.File(ave / "AVE" / "data" / file, "r+") as handle:
        values = handle[key][()]
        edit(values)
        handle[key][...] = values


def means(result: TaskResult) -> dict[str, float]:
    return {f"{row.source}->{row.target}": row.mean for row in result.directions}


def test_a_shared_space_transfers_in_all_directions(ave: Path) -> None:
    result = evaluate(tiny_model(), "ave", ave, head=FAST)
    assert len(result.directions) == 9
    assert min(means(result).values()) > 95
    assert [row.kind for row in result.directions] == ["transfer"] * 6 + ["same-modality"] * 3
    assert result.chance == 25


def test_a_modality_that_does_not_share_the_space_gets_no_transfer(ave: Path) -> None:
    result = means(evaluate(tiny_model(foreign="audio"), "ave", ave, head=FAST))
    assert result["video->text"] > 95
    assert result["video->audio"] < 30
    assert result["audio->audio"] > 60


def test_renaming_the_codes_of_the_target_brings_transfer_to_chance(ave: Path) -> None:
    seeds = tuple(range(12))
    plain = evaluate(tiny_model(), "ave", ave, seeds=seeds, head=FAST)
    control = evaluate(tiny_model(), "ave", ave, seeds=seeds, head=FAST, permute_codes_seed=3)
    transfers = [row.mean for row in control.directions if row.kind == "transfer"]
    assert abs(statistics.fmean(transfers) - control.chance) < 12
    assert statistics.fmean(row.mean for row in plain.directions if row.kind == "transfer") > 95
    assert [r.per_seed for r in control.directions[6:]] == [r.per_seed for r in plain.directions[6:]]
    assert "CONTROL" in control.table()
    assert "CONTROL" not in plain.table()


def test_the_encoder_sees_each_needed_clip_once_in_evaluation_mode(ave: Path) -> None:
    model = tiny_model().train()
    evaluate(model, "ave", ave, head=FAST, directions=["video->audio", "audio->video"])
    clips: dict[str, int] = {}
    for modality, count, training, gradient in model.encoded:
        assert not training
        assert not gradient
        clips[modality] = clips.get(modality, 0) + count
    used = sum(COUNTS.values()) - 4  # two videos are in train and in test
    assert clips == {"video": used, "audio": used}
    assert model.training


def test_videos_on_both_sides_are_left_out_of_both(ave: Path) -> None:
    result = evaluate(tiny_model(), "ave", ave, head=FAST, directions=["video->audio"])
    assert result.data.counts == {"train": 58, "val": 24, "test": 38}
    assert result.data.dropped == {"train": 2, "val": 0, "test": 2}


def test_held_out_never_sees_the_target_modality_before_the_test(ave: Path, tmp_path: Path) -> None:
    """Ruin every audio clip but those of the test split: video -> audio stays the same to the last bit."""
    ruined = copy_of(ave, tmp_path)

    def ruin(features: np.ndarray) -> None:
        features[: COUNTS["train"] + COUNTS["val"]] = 3.0

    change(ruined, "audio_feature.h5", "avadataset", ruin)
    before, after = (
        evaluate(tiny_model(), "ave", root, head=FAST, directions=["video->audio"]).directions
        for root in (ave, ruined)
    )
    assert before == after


def test_held_out_does_not_choose_by_test_labels(ave: Path, tmp_path: Path) -> None:
    relabelled = copy_of(ave, tmp_path)
    first = COUNTS["train"] + COUNTS["val"]

    def shift(labels: np.ndarray) -> None:
        labels[first:, :, :4] = np.roll(labels[first:, :, :4], 1, axis=-1)

    change(relabelled, "labels.h5", "avadataset", shift)
    file = relabelled / "AVE" / "data" / "Annotations.txt"
    lines = file.read_text().splitlines()
    names = {name: CLASSES[(i + 1) % 4] for i, name in enumerate(CLASSES)}
    for row in range(first, len(lines)):
        name, rest = lines[row].split("&", 1)
        lines[row] = f"{names[name]}&{rest}"
    file.write_text("\n".join(lines) + "\n")
    before, after = (
        evaluate(tiny_model(), "ave", root, head=FAST, directions=["video->audio"]).directions[0]
        for root in (ave, relabelled)
    )
    assert before.epochs_selected == after.epochs_selected
    assert after.mean < 5 < 95 < before.mean


def test_the_paper_protocol_reports_training_clips_and_says_so(ave: Path, tmp_path: Path) -> None:
    result = evaluate(tiny_model(), "ave", ave, protocol="paper", head=FAST, directions=["video->audio"])
    assert result.data.counts == {"train": COUNTS["train"]}
    assert [leak[:3] for leak in result.leaks] == ["P1:", "P3:"]
    assert all(leak in result.table() for leak in result.leaks)
    ruined = copy_of(ave, tmp_path)

    def ruin(features: np.ndarray) -> None:
        features[COUNTS["train"] :] = 3.0

    change(ruined, "audio_feature.h5", "avadataset", ruin)
    again = evaluate(tiny_model(), "ave", ruined, protocol="paper", head=FAST, directions=["video->audio"])
    assert again.directions == result.directions


def test_the_paper_protocol_takes_the_best_epoch_of_the_reported_rows(ave: Path) -> None:
    model = tiny_model()
    hard = optimize(model.codebooks()["layer0"].numpy(), 2)

    def run(head: HeadConfig) -> float:
        result = evaluate(model, "ave", ave, "paper", (0,), toc=hard, head=head, directions=["video->audio"])
        return result.directions[0].mean

    epochs = [run(FAST.model_copy(update={"epochs": e, "select": "last"})) for e in range(1, 6)]
    assert epochs[-1] < max(epochs), "the last epoch is the best: the case would not tell"
    assert run(FAST.model_copy(update={"epochs": 5})) == max(epochs)


def test_a_protocol_can_report_on_validation_while_settings_are_chosen(ave: Path) -> None:
    result = evaluate(
        tiny_model(), "ave", ave, HELD_OUT.reporting_on("val"), head=FAST, directions=["video->audio"]
    )
    assert result.protocol == "held-out, reported on val"
    assert "test" not in result.data.counts
    assert HELD_OUT.reporting_on("test") is HELD_OUT


def test_the_default_head_is_the_protocols(ave: Path) -> None:
    for protocol in (HELD_OUT, PAPER):
        result = evaluate(tiny_model(), "ave", ave, protocol.name, seeds=(0,), directions=["video->video"])
        assert result.head == protocol.head


def test_mean_and_deviation_are_over_the_seeds_and_of_the_sample(ave: Path) -> None:
    model = tiny_model()
    options = {
        "head": FAST,
        "directions": ["video->audio"],
        "toc": optimize(model.codebooks()["layer0"].numpy(), 2),
    }
    row = evaluate(model, "ave", ave, seeds=(4, 1, 7), **options).directions[0]
    assert len(row.per_seed) == len(row.epochs_selected) == 3
    assert row.mean == pytest.approx(np.mean(row.per_seed))
    assert row.std == pytest.approx(np.std(row.per_seed, ddof=1))
    assert row.std > 0
    alone = evaluate(model, "ave", ave, seeds=(1,), **options).directions[0]
    assert alone.per_seed[0] == row.per_seed[1]
    assert alone.std is None


def test_the_majority_class_is_that_of_the_training_clips(ave: Path) -> None:
    task = read_task("ave", ave)
    result = evaluate(tiny_model(), "ave", ave, head=FAST, directions=["video->video"])
    drop = set(task.shared_rows("video").tolist())
    rows = ([r for r in task.rows("video", s) if r not in drop] for s in ("train", "test"))
    train, test = (task.labels("video", np.array(r)) for r in rows)
    expected = 100 * np.mean(test == np.bincount(train).argmax())
    assert result.majority == result.directions[0].constant == pytest.approx(expected)


def test_keeping_all_dimensions_changes_nothing_and_keeping_few_does(ave: Path) -> None:
    model, options = tiny_model(), {"head": FAST, "directions": ["video->audio"]}
    plain = evaluate(model, "ave", ave, **options)
    codebook = model.codebooks()["layer0"].numpy()
    whole = evaluate(model, "ave", ave, toc=optimize(codebook, DIM), **options)
    assert whole.directions == plain.directions
    few = optimize(codebook, 1)
    refined = evaluate(model, "ave", ave, toc=few, **options)
    assert refined.directions[0].mean < plain.directions[0].mean
    assert refined.toc is not None
    assert (refined.toc[0].kept, refined.toc[0].n_dims) == (1, DIM)
    assert "layer0 1 of 8 dimensions" in refined.table()
    assert plain.toc is None


def test_heads_see_exactly_the_kept_dimensions(ave: Path) -> None:
    """A model whose codebook lacks the dropped dimensions gives the same numbers, once it quantizes alike."""
    model = tiny_model()
    selection = optimize(model.codebooks()["layer0"].numpy(), 5)
    result = evaluate(model, "ave", ave, toc=selection, head=FAST, directions=["video->audio"])
    task = read_task("ave", ave)
    full = encode_clips(model, "video", task.rows("video", "train"), task.features, task.mask)
    seen = refined(full, [view_of(selection, "slice", model.codebooks()["layer0"])])
    torch.testing.assert_close(seen.tables[0], full.tables[0][:, sorted(selection.indices)])
    torch.testing.assert_close(seen.indices, full.indices)
    assert result.directions[0].mean > 50


def test_a_selection_is_read_from_its_file(ave: Path, tmp_path: Path) -> None:
    model = tiny_model()
    selection = optimize(model.codebooks()["layer0"].numpy(), 6)
    path = selection.save(tmp_path)
    options = {"head": FAST, "directions": ["video->audio"]}
    expected = evaluate(model, "ave", ave, toc=selection, **options).directions
    for toc in (path, str(tmp_path), [path]):
        assert evaluate(model, "ave", ave, toc=toc, **options).directions == expected


def test_each_layer_of_codes_is_refined_by_its_own_selection(ave: Path) -> None:
    model = tiny_model(layers=2)
    first, second = (
        optimize(book.numpy(), keep, layer=name)
        for (name, book), keep in zip(model.codebooks().items(), (6, 2), strict=True)
    )
    result = evaluate(model, "ave", ave, toc=[second, first], head=FAST)
    assert result.toc is not None
    assert [(t.code_layer, t.kept) for t in result.toc] == [("layer0", 6), ("layer1", 2)]
    assert min(means(result).values()) > 60
    with pytest.raises(InputError, match="no TOC selection for code layer 'layer1'"):
        evaluate(model, "ave", ave, toc=first)
    with pytest.raises(InputError, match="second selection"):
        evaluate(model, "ave", ave, toc=[first, first])


def test_results_come_back_from_json(ave: Path) -> None:
    model = tiny_model()
    toc = optimize(model.codebooks()["layer0"].numpy(), 6)
    result = evaluate(model, "ave", ave, seeds=(0,), toc=toc, head=FAST, permute_codes_seed=1)
    text = json.dumps(result.to_json(), allow_nan=False)
    assert TaskResult.from_json(json.loads(text)) == result
    with pytest.raises(InputError, match="missing"):
        TaskResult.from_json({})


def test_the_table_names_every_direction(ave: Path) -> None:
    result = evaluate(tiny_model(), "ave", ave, head=FAST)
    lines = result.table().splitlines()
    widths = {len(line) for line in lines if line.startswith("|")}
    assert len(widths) == 1
    for row in result.directions:
        assert any(f"{row.source} -> {row.target} " in line and f" {row.mean:.1f} " in line for line in lines)
    assert "| chance" in result.table()
    assert result.direction("video", "audio").mean == means(result)["video->audio"]
    with pytest.raises(KeyError):
        result.direction("video", "smell")


def test_fingerprints_follow_the_data_and_the_checkpoint(ave: Path, tmp_path: Path) -> None:
    def prints(model: torch.nn.Module, root: Path) -> tuple[str, str]:
        result = evaluate(model, "ave", root, seeds=(0,), head=FAST, directions=["video->video"])  # type: ignore[arg-type]
        return result.data.fingerprint, result.checkpoint.fingerprint

    data, checkpoint = prints(tiny_model(), ave)
    other = copy_of(ave, tmp_path)
    assert prints(tiny_model(), other) == (data, checkpoint)
    change(other, "audio_feature.h5", "avadataset", lambda x: x.__setitem__((0, 0, 0), 9.0))
    changed = tiny_model()
    with torch.no_grad():
        changed.books[0].embedding[0, 0] += 1e-3
    assert prints(tiny_model(), other)[0] != data
    assert prints(changed, ave)[1] != checkpoint


@pytest.mark.parametrize("inner", ["", "AVE", "AVE/data"])
def test_the_data_root_may_be_any_of_the_three_folders(ave: Path, inner: str) -> None:
    assert read_task("ave", ave / inner).classes == CLASSES


def test_a_data_set_without_text_is_evaluated_without_text(tmp_path: Path) -> None:
    root = write_tiny_ave(tmp_path, text=False)
    assert len(evaluate(tiny_model(), "ave", root, head=FAST).directions) == 4


def test_the_tasks_are_listed() -> None:
    assert available_tasks() == (
        *("ave", "avvp", "ave-avvp", "ucf-vgg"),
        *(f"retrieval-{name}" for name in ("clotho", "coco", "flickr-sound", "msvd", "valor")),
    )
    assert available_protocols("ave") == ("held-out", "paper")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "avee"}, "unknown task 'avee'"),
        ({"protocol": "fair"}, "task ave: unknown protocol 'fair'; expected one of held-out, paper"),
        ({"data_root": Path("nowhere")}, "nowhere: no such folder"),
        ({"directions": ["video"]}, "cannot read the direction 'video'"),
        ({"directions": ["video->smell"]}, "the model: unknown modality 'smell'"),
        ({"directions": []}, "no direction"),
        ({"seeds": ()}, "seeds"),
        ({"seeds": (1, 1)}, "seeds"),
        ({"seeds": (-1,)}, "seeds"),
        ({"toc": Path("nowhere.json")}, "nowhere.json"),
    ],
)
def test_wrong_requests_are_refused_in_one_line(ave: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        evaluate(**{"model": tiny_model(), "task": "ave", "data_root": ave, "head": FAST, **options})  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


def test_a_selection_for_another_codebook_is_refused(ave: Path) -> None:
    book = np.random.default_rng(0).normal(size=(CODES, DIM))
    with pytest.raises(InputError, match="another codebook"):
        evaluate(tiny_model(), "ave", ave, toc=optimize(book, 4))
    with pytest.raises(InputError, match="shape"):
        evaluate(tiny_model(), "ave", ave, toc=optimize(book[:, :5], 4))
    with pytest.raises(InputError, match="made for code layer 'coarse'"):
        evaluate(tiny_model(), "ave", ave, toc=optimize(book, 4, layer="coarse"))


def test_data_of_other_sizes_than_the_models_is_refused(ave: Path) -> None:
    model = tiny_model()
    model.maps["video"] = torch.nn.Parameter(torch.eye(DIM + 1)[:, :DIM])
    with pytest.raises(InputError, match="video features have 8 channels"):
        evaluate(model, "ave", ave)
    assert model.training


def test_a_model_without_common_modalities_is_refused(ave: Path) -> None:
    model = tiny_model()
    model.config = model.config.model_copy(update={"modalities": ("video", "touch")})
    with pytest.raises(InputError, match="at least two modalities"):
        evaluate(model, "ave", ave)


def test_a_split_that_shares_every_video_is_refused(ave: Path, tmp_path: Path) -> None:
    copy = copy_of(ave, tmp_path)
    file = copy / "AVE" / "data" / "Annotations.txt"
    lines = [line.split("&") for line in file.read_text().splitlines()]
    for line in lines:
        line[1] = "the same"
    file.write_text("\n".join("&".join(line) for line in lines))
    with pytest.raises(InputError, match="train split has no video clip left"):
        evaluate(tiny_model(), "ave", copy)


def test_a_method_whose_codes_are_not_codewords_is_a_fault_of_ours(ave: Path) -> None:
    class Lying(type(tiny_model())):  # type: ignore[misc]
        def encode(self, *args: object) -> object:
            encoding = super().encode(*args)
            return dataclasses.replace(encoding, codes=encoding.codes + 1)

    model = tiny_model()
    model.__class__ = Lying
    with pytest.raises(RuntimeError, match="not the codewords"):
        evaluate(model, "ave", ave)
