"""Labels of a user: how a table is read, how clips are divided, and what heads reach."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_ave import CLASSES, DIM, centres, tiny_model, turns
from tiny_labels import CLIPS, ids, kinds, lengths, names, write_csv, write_tiny_store

from benchmarks import HeadConfig, TaskResult, evaluate
from benchmarks.tasks import read_task
from benchmarks.tasks.labels import LabelsTask
from unicode_cmg.data import FeatureStore
from unicode_cmg.data.check import check_feature_store
from unicode_cmg.errors import InputError

FAST = HeadConfig(lr=0.03, epochs=15, batch_size=16)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_store(tmp_path_factory.mktemp("own") / "store", {"label": names()})


def read(store: Path, to: Path, columns: dict[str, Any], **options: Any) -> LabelsTask:
    """The task of a table with these columns; a file of them is written to `to`."""
    return LabelsTask.read(store, write_csv(to / "labels.csv", columns), **options)


def result(task: LabelsTask, *directions: str, **options: Any) -> TaskResult:
    return evaluate(tiny_model(), task, seeds=(0, 1), head=FAST, directions=directions or None, **options)


@pytest.mark.slow
def test_the_columns_of_the_store_are_read_without_a_file(store: Path) -> None:
    task = read_task("labels", store)
    assert isinstance(task, LabelsTask)
    assert task.classes == tuple(sorted(CLASSES))
    assert task.modalities == ("video", "audio", "text")
    for modality in task.modalities:
        parts = [set(task.rows(modality, split)) for split in ("train", "val", "test")]
        there = CLIPS if modality != "text" else CLIPS - CLIPS // 3
        assert sum(map(len, parts)) == len(set.union(*parts)) == there
    assert {names()[row] for row in task.rows("audio", "test")} == set(CLASSES)
    assert f"{CLIPS // 3} of {CLIPS} labelled clips have no text." in task.notes


@pytest.mark.slow
def test_a_class_a_clip_transfers_and_falls_to_chance_with_shuffled_codes(store: Path) -> None:
    found = result(LabelsTask.read(store))
    assert len(found.directions) == 9
    for row in found.directions:
        assert row.mean > 95, row
        assert row.continuous is not None
        assert row.continuous.mean > 95
        assert (row.raw is None) == (row.shuffled is not None) == (row.kind == "transfer")
        if row.shuffled is not None:
            assert row.shuffled.mean < 70
    assert found.chance == 25.0
    assert found.data.counts["test text"] < found.data.counts["test audio"]
    table = found.table()
    assert "| shuffled | continuous |" in table
    assert "NOTE 40 of 120 labelled clips have no text." in table
    assert TaskResult.from_json(found.to_json()) == found


@pytest.mark.slow
def test_several_classes_a_clip_are_read_from_one_column_or_from_several(store: Path, tmp_path: Path) -> None:
    tags = [";".join({CLASSES[kind], "even" if kind % 2 == 0 else CLASSES[kind]}) for kind in kinds()]
    task = read(store, tmp_path, {"label": tags})
    assert task.answers.kind == "classes"
    columns = {name: [int(kind == k) for kind in kinds()] for k, name in enumerate(CLASSES)}
    columns["even"] = [int(kind % 2 == 0) for kind in kinds()]
    other = read(store, tmp_path, columns, label_column=[*sorted([*CLASSES, "even"])])
    assert np.array_equal(task.answers.values, other.answers.values)
    row = result(task, "video->audio").direction("video", "audio")
    assert row.metric == "f1_micro"
    assert set(row.others) == {"f1_macro", "mAP"}
    assert row.mean > 95
    assert row.others["mAP"].mean > 95
    assert row.others["mAP"].interval is not None
    assert row.constant is not None
    assert row.constant < 70


def test_a_separator_alone_says_that_a_clip_has_no_class(store: Path, tmp_path: Path) -> None:
    tags = ["a;b", ";", "", *["a"] * (CLIPS - 3)]
    task = read(store, tmp_path, {"label": tags})
    assert task.answers.values[:2].tolist() == [[1, 1], [0, 0]]
    assert task.answers.known.tolist() == [True, True, False, *[True] * (CLIPS - 3)]


@pytest.mark.slow
def test_a_class_a_step_is_read_from_lists_and_from_rows(store: Path, tmp_path: Path) -> None:
    steps = [[CLASSES[kind]] * n for kind, n in zip(kinds(), lengths(), strict=True)]
    task = read(store, tmp_path, {"label": ["|".join(row) for row in steps]})
    assert task.answers.kind == "steps"
    assert task.modalities == ("audio",)
    long = {
        "id": [clip for clip, row in zip(ids(), steps, strict=True) for _ in row],
        "step": [place for row in steps for place in range(len(row))],
        "label": [name for row in steps for name in row],
    }
    assert np.array_equal(read(store, tmp_path, long).answers.values, task.answers.values)
    row = result(task, "audio->audio").direction("audio", "audio")
    assert row.mean > 95
    assert row.details is not None
    assert row.details.counted == "steps"
    assert sum(map(sum, row.details.confusion)) == 2 * sum(lengths()[task.rows("audio", "test")])


@pytest.mark.slow
def test_a_number_a_clip_is_predicted_across_modalities(store: Path, tmp_path: Path) -> None:
    task = read(store, tmp_path, {"label": [f"{100 + 20.5 * kind}" for kind in kinds()]})
    assert task.answers.kind == "number"
    row = result(task, "video->audio").direction("video", "audio")
    assert (row.metric, set(row.others)) == ("R2", {"MAE"})
    assert row.mean > 0.9
    assert row.others["MAE"].mean < 8
    assert row.constant is not None
    assert row.constant <= 0
    assert row.details is None


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["0", "1", "2"] * 40, "class"),
        (["1.0", "2.0", "nan"] * 40, "class"),
        (["1.5", "2", "3"] * 40, "number"),
        ([str(18 + k % 60) for k in range(CLIPS)], "number"),
        ([str(k % 24) for k in range(CLIPS)], "class"),
        (["a;b", "a", "b"] * 40, "classes"),
        (["cat", "7", "dog"] * 40, "class"),
        (["True", "False", "True"] * 40, "class"),
    ],
)
def test_the_kind_is_seen_from_the_values_and_noted(
    store: Path, tmp_path: Path, values: list[str], kind: str
) -> None:
    task = read(store, tmp_path, {"label": values})
    assert task.answers.kind == kind
    assert any("is taken as" in note for note in task.notes)
    assert not any("is taken as" in n for n in read(store, tmp_path, {"label": values}, kind=kind).notes)


def test_numbers_written_with_decimals_name_the_same_classes(store: Path, tmp_path: Path) -> None:
    values = ["1.0", "2", "", "1"] * 30
    assert read(store, tmp_path, {"label": values}).classes == ("1", "2")


def test_named_splits_are_kept_and_a_missing_val_is_drawn(store: Path, tmp_path: Path) -> None:
    splits = ["Train"] * 80 + ["validation"] * 10 + ["test"] * 25 + [""] * 5
    task = read(store, tmp_path, {"label": names(), "part": splits}, split_column="part")
    assert [len(task.rows("audio", s)) for s in ("train", "val", "test")] == [80, 10, 25]
    assert "5 labelled clips are in no split and are left out." in task.notes
    without = read(store, tmp_path, {"label": names(), "split": ["train"] * 90 + ["test"] * 30})
    assert len(without.rows("audio", "val")) == 18
    assert set(without.rows("audio", "test")) == set(range(90, 120))


def test_groups_stay_together_and_draws_follow_the_seed(store: Path, tmp_path: Path) -> None:
    groups = [f"speaker{row // 4 % 15}" for row in range(CLIPS)]
    columns = {"label": names(), "group": groups}
    task = read(store, tmp_path, columns)
    for group in set(groups):
        assert len({task.splits[row] for row in range(CLIPS) if groups[row] == group}) == 1
    assert set(task.splits) == {"train", "val", "test"}
    assert np.array_equal(task.splits, read(store, tmp_path, columns).splits)
    assert not np.array_equal(task.splits, read(store, tmp_path, columns, split_seed=1).splits)


@pytest.mark.slow
def test_clips_of_a_group_in_two_named_splits_are_left_out_and_counted(store: Path, tmp_path: Path) -> None:
    columns = {
        "label": names(),
        "split": ["train"] * 60 + ["val"] * 20 + ["test"] * 40,
        "group": ["both" if row in (0, 100) else str(row) for row in range(CLIPS)],
    }
    found = result(read(store, tmp_path, columns), "video->audio", continuous=False)
    assert found.data.dropped == {"train": 1, "val": 0, "test": 1}


@pytest.mark.slow
def test_classes_without_training_clips_are_named(store: Path, tmp_path: Path) -> None:
    labels = [*names()[:-2], "rare", "odd"]
    splits = ["train"] * 60 + ["val"] * 20 + ["test"] * 39 + ["train"]
    task = read(store, tmp_path, {"label": labels, "split": splits})
    text = " ".join(task.notes)
    assert "1 of 6 classes have no training clip, so no head can name them: rare." in text
    assert "1 of 6 classes have no test clip: odd." in text
    assert result(task, "video->audio", continuous=False).directions[0].mean > 90


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ({"label": [""] * CLIPS}, {}, "labels.csv: column 'label' is empty"),
        ({"label": ["dog"] * CLIPS}, {}, "column 'label' has one class only, 'dog'"),
        ({"label": ids()}, {}, "each of 120 clips has a class of its own"),
        ({"label": ["1.5"] * 118 + ["x", "2"]}, {}, "labels.csv, line 120: 'x' in column 'label'.*numbers"),
        ({"label": ["inf"] * CLIPS}, {"kind": "number"}, "line 2: 'inf'.*finite number"),
        ({"label": names(), "split": ["train"] * 119 + ["tset"]}, {}, "1 clips are in a split 'tset'"),
        ({"label": names(), "split": ["train"] * CLIPS}, {}, "no labelled clip is in the split test"),
        ({"label": names(), "group": ["one"] * CLIPS}, {}, "1 groups of clips"),
        ({"label": ["a;a"] * CLIPS}, {}, "line .*: 2 labels of a clip of"),
        (
            {"label": names()},
            {"kind": "number"},
            "line 2: 'bell' in column 'label'; expected a finite",
        ),
        ({"a": names(), "b": names()}, {}, "no column 'label'; expected labels in one of.*--label-column"),
        ({"label": names(), "f": ["1", "2"] * 60}, {"split_column": "f"}, "split '1' of column 'f'.*folds"),
        ({"label": names()}, {"kind": "klass"}, "unknown kind of labels 'klass'"),
        ({"label": names()}, {"split_column": "fold"}, "unknown column 'fold'"),
        ({"label": names()}, {"id_column": "clip"}, "unknown column 'clip'"),
        ({"a": ["0", "2"] * 60, "b": ["1", "0"] * 60}, {"label_column": ["a", "b"]}, "'2' in column 'a'"),
        (
            {"id": [f"x{k}" for k in range(CLIPS)], "label": names()},
            {},
            "no id of column 'id', such as 'x0'.*--id-column",
        ),
    ],
)
def test_a_bad_table_is_one_line(
    store: Path, tmp_path: Path, columns: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message) as error:
        read(store, tmp_path, columns, **options)
    assert "\n" not in str(error.value)


def test_rows_of_other_clips_and_repeated_rows_are_counted(store: Path, tmp_path: Path) -> None:
    columns = {"id": [*ids()[:100], "clip0", "other"], "label": [*names()[:100], names()[0], "bell"]}
    notes = " ".join(read(store, tmp_path, columns).notes)
    assert "1 rows are of clips that the store does not have (other)" in notes
    assert "1 rows repeat a clip with the label it has already" in notes
    assert "20 of 120 clips have no label" in notes
    columns["label"][100] = "dog"
    with pytest.raises(InputError, match="line 102: a second label 'dog' for a clip that has 'bell'"):
        read(store, tmp_path, columns)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_tables_of_spreadsheets_are_read(store: Path, tmp_path: Path, separator: str) -> None:
    file = write_csv(tmp_path / "x.csv", {"label": names()}, separator=separator, bom=True)
    assert LabelsTask.read(store, file).classes == tuple(sorted(CLASSES))


@pytest.mark.parametrize(
    ("values", "kind", "classes"),
    [
        (["rain, wind", "dog", "rain", "wind"], "classes", ("dog", "rain", "wind")),
        (["speech, child", "dog", "cat", "dog"], "class", ("cat", "dog", "speech, child")),
        (["1,5", "2,25", "-3", "4,5"], "number", ()),
    ],
)
def test_commas_in_values_are_taken_as_what_they_must_be(
    store: Path, tmp_path: Path, values: list[str], kind: str, classes: tuple[str, ...]
) -> None:
    file = write_csv(tmp_path / "x.csv", {"Emotion": values * 30})
    answers = LabelsTask.read(store, file).answers
    assert (answers.kind, answers.classes) == (kind, classes)


def test_rows_with_times_of_events_say_what_is_read(store: Path, tmp_path: Path) -> None:
    columns = {"id": ids() * 2, "onset": ["0"] * 2 * CLIPS, "label": ["a"] * CLIPS + ["b"] * CLIPS}
    with pytest.raises(InputError, match="a row for each step, with a column 'step', in place of onset"):
        read(store, tmp_path, columns)


def test_a_row_with_too_many_values_is_named(store: Path, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("id,label\nclip0,a\nclip1,a,b\n")
    with pytest.raises(InputError, match=r"x.csv, line 3: 3 values; expected 2: id, label; put a value"):
        LabelsTask.read(store, tmp_path / "x.csv")


def test_a_modality_without_test_clips_is_left_out(tmp_path: Path) -> None:
    store = write_tiny_store(tmp_path / "store")
    splits = ["train" if row % 3 else "test" for row in range(CLIPS)]  # no clip of the latter has text
    task = read(store, tmp_path, {"label": names(), "split": splits})
    assert task.modalities == ("video", "audio")
    assert "text is left out: no clip of the split test has it." in task.notes


def test_a_split_that_lacks_all_but_one_modality_is_named(tmp_path: Path) -> None:
    values = np.ones((12, 2, 3), np.float32)
    splits = ["train"] * 6 + ["val"] * 3 + ["test"] * 3
    columns = {"label": ["a", "b"] * 6, "split": splits}
    mask = {"eeg": np.array(splits) != "test"}
    ids = [str(row) for row in range(12)]
    FeatureStore.write(tmp_path / "s", {"eeg": values, "image": values}, ids, mask, columns=columns)
    with pytest.raises(InputError, match=r"eeg is left out: no clip of the split test has it; .*two"):
        LabelsTask.read(tmp_path / "s")
    assert "no clip of the split test has eeg" in check_feature_store(tmp_path / "s").text()


def test_options_of_labels_are_refused_by_other_tasks(ave: Path) -> None:
    with pytest.raises(InputError, match="task ave: the task has no option 'labels'; expected no option"):
        read_task("ave", ave, labels="x.csv")
    with pytest.raises(InputError, match="a folder beside an open task"):
        evaluate(tiny_model(), read_task("ave", ave), ave)


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two prompts of each class, which are also captions of some clips."""
    rng, path = np.random.default_rng(9), tmp_path_factory.mktemp("own") / "texts"
    codes = 4 * np.repeat(np.arange(4), 2) + rng.integers(0, 4, 8)
    points = (centres()[codes] + 0.02 * rng.normal(size=(8, DIM))) @ turns()["text"]
    columns = {
        "label": np.repeat(CLASSES, 2).tolist(),
        "clip": [f"clip{row}" for row in (0, 4, 1, 5, 2, 6, 3, 7)],
    }
    FeatureStore.write(
        path, {"text": points[:, None].astype(np.float32)}, [f"p{k}" for k in range(8)], columns=columns
    )
    return path


def test_classes_are_named_by_their_prompts(store: Path, texts: Path) -> None:
    found = evaluate(tiny_model(), read_task("zero-shot", store, texts=texts))
    assert [(row.source, row.target) for row in found.directions] == [("video", "text"), ("audio", "text")]
    for row in found.directions:
        assert row.metric == "accuracy"
        assert row.mean > 95
        assert row.constant == 25.0
        assert row.interval is not None
    renamed = evaluate(tiny_model(), read_task("zero-shot", store, texts=texts), permute_codes_seed=1)
    assert renamed.directions[0].mean < 80
    with pytest.raises(InputError, match=r"no prompts.*--texts"):
        read_task("zero-shot", store)


def test_a_class_without_prompt_is_named(store: Path, texts: Path, tmp_path: Path) -> None:
    file = write_csv(tmp_path / "x.csv", {"label": ["sea" if name == "dog" else name for name in names()]})
    with pytest.raises(InputError, match="1 of 4 classes have no prompt: sea"):
        read_task("zero-shot", store, texts=texts, labels=file)


def test_clips_are_retrieved_with_several_texts_each(store: Path, texts: Path) -> None:
    found = evaluate(tiny_model(), "retrieval", store)
    assert (found.task, len(found.directions)) == ("retrieval-store", 6)
    row = found.direction("video", "text")
    assert row.others["mean rank"].mean < row.others["mean rank"].constant
    assert (
        "40 of 120 clips have no text and are left out where it is searched or asked for." in found.data.notes
    )
    task = read_task("retrieval-store", store, texts=texts)
    some = evaluate(tiny_model(), task, directions=["text->video", "video->text"])
    assert some.data.counts == {"test text": 8, "test video": CLIPS}
    assert some.direction("text", "video").others["mean rank"].mean < 40
