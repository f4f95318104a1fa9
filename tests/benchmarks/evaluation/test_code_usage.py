from __future__ import annotations

import json
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from tiny_ave import CODES, COUNTS, STEPS, centres, tiny_model

from benchmarks import CodeUsage, code_usage
from unicode_cmg.data.layouts.ave import read_ave
from unicode_cmg.errors import InputError


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


def columns_by_hand(ave: Path, split: str) -> dict[str, list[list[int]]]:
    data = read_ave(ave / "AVE")
    rows = data.order[split]
    seconds = data.labels[rows].argmax(-1).tolist()
    clip = [[int(c)] * STEPS for c in data.clip_labels(rows)]
    return {"video": seconds, "audio": seconds, "text": clip}


@pytest.mark.parametrize("split", ["val", "test"])
def test_counts_equal_a_loop_over_the_steps(ave: Path, split: str) -> None:
    usage = code_usage(tiny_model(), ave, split)
    codes, columns = codes_by_hand(ave, split), columns_by_hand(ave, split)
    together = np.zeros((CODES, 5), int)
    for modality, clips in codes.items():
        table = np.zeros((CODES, 5), int)
        for clip, labels in zip(clips, columns[modality], strict=True):
            for code, label in zip(clip, labels, strict=True):
                if code is not None:
                    table[code, label] += 1
        np.testing.assert_array_equal(usage.contingency[modality], table)
        np.testing.assert_array_equal(usage.counts[modality], table.sum(1))
        assert usage.mean_purity[modality] == pytest.approx(table.max(1).sum() / table.sum())
        together += table
    expected = [row.max() / row.sum() if row.sum() else None for row in together]
    assert list(usage.purity) == pytest.approx(expected)
    assert (usage.clips, usage.num_codes, len(usage.classes)) == (COUNTS[split], CODES, 4)


def test_agreement_equals_a_loop_over_the_clips(ave: Path) -> None:
    usage = code_usage(tiny_model(), ave, "test")
    codes, columns, books = (
        codes_by_hand(ave, "test"),
        columns_by_hand(ave, "test"),
        centres().astype(np.float32),
    )
    events = {
        m: [
            [c for c, label in zip(*pair, strict=True) if c is not None and label != 4]
            for pair in zip(codes[m], columns[m], strict=True)
        ]
        for m in codes
    }

    def modal(clip: list[int]) -> int:
        counts = Counter(clip)
        return min(counts, key=lambda code: (-counts[code], code))

    def direction(clip: list[int]) -> np.ndarray:
        vector = books[clip].sum(0)
        return vector / np.linalg.norm(vector)

    for found, (a, b) in zip(usage.agreement, combinations(usage.counts, 2), strict=True):
        assert found.modalities == (a, b)
        pairs = list(zip(map(modal, events[a]), map(modal, events[b]), strict=True))
        assert found.clips == pytest.approx(np.mean([x == y for x, y in pairs]))
        blind = np.mean([x == y for x, _ in pairs for _, y in pairs])
        assert found.clips_expected == pytest.approx(blind)
        cosines = np.array([[direction(x) @ direction(y) for y in events[b]] for x in events[a]])
        assert found.cosine == pytest.approx(np.diag(cosines).mean(), rel=1e-5)
        assert found.cosine_expected == pytest.approx(
            cosines[~np.eye(len(cosines), dtype=bool)].mean(), rel=1e-4
        )
        if "text" in (a, b):
            assert found.steps is None
        else:
            seconds = [
                pair for x, y in zip(events[a], events[b], strict=True) for pair in zip(x, y, strict=True)
            ]
            assert found.steps == pytest.approx(np.mean([x == y for x, y in seconds]))
            blind = np.mean([x == y for x, _ in seconds for _, y in seconds])
            assert found.steps_expected == pytest.approx(blind)


def test_examples_point_at_steps_with_that_code(ave: Path) -> None:
    usage = code_usage(tiny_model(), ave, "test")
    rows = read_ave(ave / "AVE").order["test"].tolist()
    codes = codes_by_hand(ave, "test")
    for modality, examples in usage.examples.items():
        assert set(examples) == {code for code, count in enumerate(usage.counts[modality]) if count}
        for code, places in examples.items():
            assert len({row for row, _ in places}) == len(places) <= 4
            assert all(codes[modality][rows.index(row)][step] == code for row, step in places)


def test_usage_comes_back_from_json(ave: Path) -> None:
    usage = code_usage(tiny_model(), ave)
    text = json.dumps(usage.to_json(), allow_nan=False)
    assert CodeUsage.from_json(json.loads(text)) == usage


def test_a_layer_can_be_named(ave: Path) -> None:
    model = tiny_model(layers=2)
    assert code_usage(model, read_ave(ave / "AVE"), layer="layer1").num_codes == 6
    with pytest.raises(InputError, match="no code layer 'layer2'; expected one of layer0, layer1"):
        code_usage(model, ave, layer="layer2")


def test_an_unknown_split_is_refused(ave: Path) -> None:
    with pytest.raises(InputError, match="no split 'dev'"):
        code_usage(tiny_model(), ave, "dev")
