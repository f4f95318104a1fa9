"""Codes of clips with labels, against plain loops over steps and clips."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from tiny_ave import CODES, COUNTS, STEPS, centres, tiny_model, write_tiny_ave

from unicode_cmg.data import FeatureStore, LabelledClips
from unicode_cmg.data.layouts.ave import read_ave
from unicode_cmg.errors import InputError
from unicode_cmg.inspect import DescribedCodes, describe_codes

BACKGROUND = 4


@pytest.fixture(scope="module")
def ave(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_ave(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def found(ave: Path) -> DescribedCodes:
    return describe_codes(tiny_model(), LabelledClips.open(ave))


def codes_by_hand(ave: Path, split: str) -> dict[str, list[list[int | None]]]:
    """The nearest codeword of each step, None for a missing word."""
    data, model, books = read_ave(ave / "AVE"), tiny_model(), centres()
    rows, found = data.order[split], {}
    for modality in model.modalities:
        points = data.features(modality, rows) @ model.maps[modality].detach().numpy()
        nearest = ((points[:, :, None] - books) ** 2).sum(-1).argmin(-1)
        mask = data.mask(modality, rows)
        found[modality] = [
            [int(c) if m else None for c, m in zip(*pair, strict=True)]
            for pair in zip(nearest, mask, strict=True)
        ]
    return found


def classes_by_hand(ave: Path, split: str) -> dict[str, list[list[int]]]:
    data = read_ave(ave / "AVE")
    rows = data.order[split]
    seconds = data.labels[rows].argmax(-1).tolist()
    clip = [[int(c)] * STEPS for c in data.clip_labels(rows)]
    return {"video": seconds, "audio": seconds, "text": clip}


@pytest.mark.parametrize("split", ["val", "test"])
def test_counts_by_class_equal_a_loop_over_the_steps(ave: Path, split: str) -> None:
    found = describe_codes(tiny_model(), LabelledClips.open(read_ave(ave / "AVE"), split), nearest=0)
    codes, classes = codes_by_hand(ave, split), classes_by_hand(ave, split)
    together = np.zeros((CODES, 5), int)
    for modality, clips in codes.items():
        table = np.zeros((CODES, 5), int)
        for clip, labels in zip(clips, classes[modality], strict=True):
            for code, label in zip(clip, labels, strict=True):
                if code is not None:
                    table[code, label] += 1
        assert [entry.by_class.counts[modality] for entry in found.codes] == [tuple(r) for r in table]
        assert [entry.counts[modality] for entry in found.codes] == table.sum(1).tolist()
        assert found.modalities[modality].purity == pytest.approx(table.max(1).sum() / table.sum())
        together += table
    expected = [row.max() / row.sum() if row.sum() else None for row in together]
    assert [entry.by_class.purity for entry in found.codes] == pytest.approx(expected)
    assert (found.clips, found.num_codes) == (COUNTS[split], CODES)
    assert (found.labels.split, len(found.labels.classes)) == (split, 4)


@pytest.mark.parametrize("events_only", [True, False])
def test_agreement_equals_a_loop_over_the_clips(ave: Path, found: DescribedCodes, events_only: bool) -> None:
    codes, classes = codes_by_hand(ave, "test"), classes_by_hand(ave, "test")
    books = centres().astype(np.float32)
    steps = {
        m: [
            [
                c
                for c, label in zip(*pair, strict=True)
                if c is not None and not (events_only and label == BACKGROUND)
            ]
            for pair in zip(codes[m], classes[m], strict=True)
        ]
        for m in codes
    }

    def modal(clip: list[int]) -> int:
        counts = Counter(clip)
        return min(counts, key=lambda code: (-counts[code], code))

    def direction(clip: list[int]) -> np.ndarray:
        vector = books[clip].sum(0)
        return vector / np.linalg.norm(vector)

    agreement = found.labels.agreement if events_only else found.agreement
    for pair, (a, b) in zip(agreement, combinations(found.modalities, 2), strict=True):
        assert pair.modalities == (a, b)
        modals = list(zip(map(modal, steps[a]), map(modal, steps[b]), strict=True))
        assert pair.clips == pytest.approx(np.mean([x == y for x, y in modals]))
        blind = np.mean([x == y for x, _ in modals for _, y in modals])
        assert pair.clips_expected == pytest.approx(blind)
        cosines = np.array([[direction(x) @ direction(y) for y in steps[b]] for x in steps[a]])
        assert pair.cosine == pytest.approx(np.diag(cosines).mean(), rel=1e-5)
        others = cosines[~np.eye(len(cosines), dtype=bool)]
        assert pair.cosine_expected == pytest.approx(others.mean(), rel=1e-4)
        if "text" in (a, b):  # words happen at no particular moment; they have a main code
            seconds, words = (steps[a], steps[b]) if b == "text" else (steps[b], steps[a])
            both = [(s, modal(text)) for x, text in zip(seconds, words, strict=True) for s in x]
        else:
            both = [s for x, y in zip(steps[a], steps[b], strict=True) for s in zip(x, y, strict=True)]
        assert pair.steps == pytest.approx(np.mean([x == y for x, y in both]))
        assert pair.steps_expected == pytest.approx(np.mean([x == y for x, _ in both for _, y in both]))


def test_examples_point_at_steps_with_that_code(ave: Path, found: DescribedCodes) -> None:
    rows = read_ave(ave / "AVE").order["test"].tolist()
    for modality, codes in codes_by_hand(ave, "test").items():
        for entry in found.codes:
            places = entry.by_class.examples[modality]
            assert bool(places) == bool(entry.counts[modality])
            assert len({row for row, _ in places}) == len(places) <= 4
            assert all(codes[rows.index(row)][step] == entry.code for row, step in places)


def test_a_record_with_labels_comes_back_from_json_and_has_a_summary(
    ave: Path, found: DescribedCodes
) -> None:
    assert DescribedCodes.parse(found.to_json(), where="test") == found
    assert found.features == LabelledClips.open(ave).fingerprint != LabelledClips.open(ave, "val").fingerprint
    assert f"{100 * found.modalities['text'].purity:.1f} %" in found.table()
    assert "where an event is" in found.table()


def test_an_unknown_split_is_refused(ave: Path) -> None:
    with pytest.raises(InputError, match="unknown split 'dev'; expected one of train, val, test"):
        LabelledClips.open(ave, "dev")


def test_the_label_of_a_clip_of_a_store_is_the_class_of_its_steps(tmp_path: Path) -> None:
    """A clip without a label counts for the codes, not for the classes."""
    model, rng = tiny_model(), np.random.default_rng(0)
    labels = ["dog", "car"] * 4 + [""]
    at = rng.integers(0, CODES, size=(len(labels), 3))
    points = {
        m: centres()[at].astype(np.float32) @ model.maps[m].detach().numpy().T for m in ("audio", "video")
    }
    ids = [f"clip-{row}" for row in range(len(labels))]
    store = _store(tmp_path / "s", points, ids, labels)
    found = describe_codes(model, store, nearest=0)
    assert found.labels is not None
    assert found.labels.columns == ("car", "dog")
    assert (found.labels.split, found.labels.readings, found.labels.background_agreement) == ("", {}, ())
    expected = np.zeros((CODES, 2), int)
    for codes, label in zip(at, labels, strict=True):
        for code in codes if label else ():
            expected[code, ("car", "dog").index(label)] += 1
    seen = {entry.code: entry.by_class for entry in found.codes}
    for code, counts in enumerate(expected.tolist()):
        by_class = seen.get(code)
        assert list(by_class.counts["audio"] if by_class else (0, 0)) == counts
    assert sum(entry.counts["audio"] for entry in found.codes) == at.size

    captions = [f"caption {row}" for row in range(len(labels))]
    other = _store(tmp_path / "t", points, ids, captions)
    assert describe_codes(model, other, nearest=0).labels is None


def _store(path: Path, points: dict[str, np.ndarray], ids: list[str], labels: list[str]) -> FeatureStore:
    FeatureStore.write(path, points, ids, columns={"label": labels})
    return FeatureStore.open(path)
