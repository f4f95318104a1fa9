from __future__ import annotations

import math
from collections import Counter
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from lookup_method import Lookup
from tiny_models import model_of

from unicode_cmg.data import FeatureStore
from unicode_cmg.errors import InputError
from unicode_cmg.inspect import describe_codes
from unicode_cmg.inspect.codes import nearest

Steps = dict[str, list[list[tuple[int, torch.Tensor, str | None] | None]]]


def steps_by_hand(model: Lookup, store: FeatureStore, stage: int = 0) -> Steps:
    """Modality -> clips -> steps: code, what was quantized, and word; None for padding."""
    words, found = list(store.tokens("text")), {}
    for m in model.modalities:
        batch = store.batch(range(len(store)), modalities=[m])
        with torch.no_grad():
            encoding = model.encode(m, batch.features[m], batch.masks[m])
        left = encoding.general
        for k in range(stage):
            left = left - model.books[k].embedding[encoding.indices[..., k]]
        found[m] = [
            [
                (int(encoding.indices[row, t, stage]), left[row, t], words[row][t] if m == "text" else None)
                if batch.masks[m][row, t]
                else None
                for t in range(left.shape[1])
            ]
            for row in range(len(store))
        ]
    return found


def test_counts_and_shares_equal_a_loop_over_the_steps(model: Lookup, store: FeatureStore) -> None:
    found, raw = describe_codes(model, store), describe_codes(model, store, raw=True)
    steps = steps_by_hand(model, store)
    counts = {m: Counter(s[0] for clip in clips for s in clip if s) for m, clips in steps.items()}
    totals = {m: n.total() for m, n in counts.items()}
    assert totals["audio"] == totals["video"] == 240 > totals["text"]
    for entry, plain in zip(found.codes, raw.codes, strict=True):
        assert entry.counts == plain.counts == {m: n[entry.code] for m, n in counts.items()}
        rates = {m: n[entry.code] / totals[m] for m, n in counts.items()}
        for m in counts:
            assert entry.shares[m] == pytest.approx(rates[m] / sum(rates.values()), abs=1e-4)
            assert plain.shares[m] == pytest.approx(entry.counts[m] / sum(entry.counts.values()), abs=1e-4)
    assert (found.shares, raw.shares) == ("per step", "raw")
    for m, use in found.modalities.items():
        kinds = {e.code: e.kind for e in found.codes}
        share = Counter(kinds[code] for code in counts[m].elements())
        assert (use.steps, use.codes) == (totals[m], len(counts[m]))
        p = np.array(list(counts[m].values())) / totals[m]
        assert use.perplexity == pytest.approx(math.exp(-(p * np.log(p)).sum()))
        assert use.kinds == pytest.approx({kind: share[kind] / totals[m] for kind in use.kinds})


def test_agreement_equals_a_loop_over_the_clips(model: Lookup, store: FeatureStore) -> None:
    steps = steps_by_hand(model, store)

    def modal(clip: list[Any]) -> int:
        count = Counter(s[0] for s in clip if s)
        return min(count, key=lambda code: (-count[code], code))

    agreement = describe_codes(model, store).agreement
    for found, (a, b) in zip(agreement, combinations(steps, 2), strict=True):
        assert found.modalities == (a, b)
        x, y = [modal(clip) for clip in steps[a]], [modal(clip) for clip in steps[b]]
        assert found.clips == pytest.approx(np.mean([i == j for i, j in zip(x, y, strict=True)]))
        assert found.clips_expected == pytest.approx(np.mean([i == j for i in x for j in y]))
        if "text" in (a, b):  # words happen at no particular moment; the clip's main one stands for all
            seconds, words = (a, b) if b == "text" else (b, a)
            x = [s[0] for clip in steps[seconds] for s in clip]
            y = [modal(text) for clip, text in zip(steps[seconds], steps[words], strict=True) for _ in clip]
        else:
            x, y = ([s[0] for clip in steps[m] for s in clip] for m in (a, b))
        assert found.steps == pytest.approx(np.mean([i == j for i, j in zip(x, y, strict=True)]))
        assert found.steps_expected == pytest.approx(np.mean([i == j for i in x for j in y]))


@pytest.mark.parametrize("stage", [0, 1])
@pytest.mark.parametrize("at_once", [1 << 23, 40])
def test_the_nearest_steps_are_members_then_others_by_distance(
    residual_model: Lookup, store: FeatureStore, monkeypatch: pytest.MonkeyPatch, stage: int, at_once: int
) -> None:
    monkeypatch.setattr(nearest, "_AT_ONCE", at_once)
    model = residual_model
    found = describe_codes(model, store, code_layer=f"layer0.{stage}", nearest=4)
    steps = steps_by_hand(model, store, stage)
    for entry in found.codes:
        word = model.books[stage].embedding[entry.code]
        for m, clips in steps.items():
            ranked = sorted(
                (s[0] != entry.code, float((s[1] - word).norm()), row, t, s[2])
                for row, clip in enumerate(clips)
                for t, s in enumerate(clip)
                if s
            )
            best: dict[Any, Any] = {}
            for other, distance, row, t, said in ranked:  # one a clip, or one a word
                best.setdefault(row if said is None else said, (not other, distance, f"clip-{row}", t, said))
            expected = list(best.values())[:4]
            assert [s.chosen for s in entry.nearest[m]] == [e[0] for e in expected]
            assert [s.distance for s in entry.nearest[m]] == pytest.approx([e[1] for e in expected], abs=1e-3)
            if m != "text":
                assert [(s.clip, s.step) for s in entry.nearest[m]] == [e[2:4] for e in expected]
            else:
                assert [s.word for s in entry.nearest[m]] == [e[4] for e in expected]
                for s in entry.nearest[m]:
                    assert s.word == steps[m][int(s.clip[5:])][s.step][2]


def test_the_words_of_a_code_are_those_that_come_with_it_more_than_with_others(
    model: Lookup, store: FeatureStore
) -> None:
    said = [s for clip in steps_by_hand(model, store)["text"] for s in clip if s and s[2]]
    everywhere = Counter(word for _, _, word in said)
    for entry in describe_codes(model, store).codes:
        here = Counter(word for code, _, word in said if code == entry.code)
        merit = {
            w: n * math.log(n * everywhere.total() / (here.total() * everywhere[w])) for w, n in here.items()
        }
        expected = sorted(here, key=lambda w: (-merit[w], w))[:8]
        assert [(w.word, w.steps) for w in entry.words["text"]] == [(w, here[w]) for w in expected]


def test_a_code_of_a_whole_clip_has_all_its_words(clip_model: Lookup, store: FeatureStore) -> None:
    found = describe_codes(clip_model, store, level="clip")
    assert found.level == "clip"
    assert {m: use.steps for m, use in found.modalities.items()} == dict.fromkeys(clip_model.modalities, 40)
    sentences = [" ".join(w for w in words if w) for words in store.tokens("text")]
    for entry in found.codes:
        members = [s for s in entry.nearest["text"] if s.chosen]
        assert len(members) == min(entry.counts["text"], 5)
        for step in entry.nearest["text"]:
            assert step.step == 0
            assert step.word == sentences[int(step.clip[5:])]
    counted = sum(w.steps for entry in found.codes for w in entry.words["text"])
    assert counted == sum(len(sentence.split()) for sentence in sentences)


def test_similar_codes_are_those_of_the_largest_cosine(model: Lookup, store: FeatureStore) -> None:
    book = model.books[0].embedding.numpy().astype(np.float64)
    unit = book / np.linalg.norm(book, axis=1, keepdims=True)
    for entry in describe_codes(model, store, nearest=3).codes:
        cosines = unit @ unit[entry.code]
        expected = [code for code in np.argsort(-cosines) if code != entry.code][:3]
        assert [other.code for other in entry.similar] == expected
        assert [other.cosine for other in entry.similar] == pytest.approx(cosines[expected], abs=1e-4)


@pytest.mark.parametrize("at_once", [1, 1 << 23])
def test_similar_codes_of_zero_vectors_are_not_nan(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(nearest, "_AT_ONCE", at_once)
    codes, cosines = nearest.similar_codes(torch.tensor([[1.0, 0], [0, 0], [2, 0]]), 5)
    assert codes.tolist() == [[2, 1], [0, 2], [0, 1]]
    assert cosines.tolist() == [[1, 0], [0, 0], [1, 0]]


def dcid(store: FeatureStore, **codebook: Any) -> Any:
    modalities = {m: {"dim": shape[-1]} for m, shape in store.modalities.items()}
    with torch.random.fork_rng():
        return model_of("dcid", modalities, num_codes=9, feedforward=8, codebook=codebook).eval()


def test_without_a_codebook_the_codes_that_occur_are_listed(store: FeatureStore) -> None:
    model = dcid(store, quantizer="fsq", levels=[3, 5, 7])
    found = describe_codes(model, store)
    occur: dict[int, torch.Tensor] = {}
    for m in model.modalities:
        batch = store.batch(range(len(store)))
        with torch.no_grad():
            encoding = model.encode(m, batch.features[m], batch.masks[m])
        mask = batch.masks[m]
        occur |= zip(encoding.indices[..., 0][mask].tolist(), encoding.codes[mask], strict=True)
    assert [entry.code for entry in found.codes] == sorted(occur)
    assert found.num_codes == 105
    assert found.kinds["unused"] == 105 - len(occur)
    assert sum(found.kinds.values()) == 105
    for entry in found.codes:
        for other in entry.similar:
            expected = torch.cosine_similarity(occur[entry.code], occur[other.code], dim=0)
            assert other.cosine == pytest.approx(float(expected), abs=1e-3)


def test_a_layer_and_modalities_can_be_named(residual_model: Lookup, store: FeatureStore) -> None:
    found = describe_codes(residual_model, store, code_layer="layer0.1", modalities=["text", "audio"])
    assert (found.code_layer, list(found.modalities)) == ("layer0.1", ["audio", "text"])
    with pytest.raises(InputError, match=r"unknown code layer 'layer1'; expected one of layer0\.0"):
        describe_codes(residual_model, store, code_layer="layer1")


def test_the_summary_has_the_numbers(model: Lookup, store: FeatureStore) -> None:
    found = describe_codes(model, store)
    table = found.table()
    lines = {line.split("  ")[0]: line.split() for line in table.splitlines()}
    assert table.startswith("layer0: 7 codes on 40 clips")
    for kind, colour in (("shared", " (green)"), ("between", " (blue)"), ("single", " (red)")):
        assert str(found.kinds[kind]) in lines[kind + colour]
    assert lines["perplexity"][1:] == [f"{use.perplexity:.1f}" for use in found.modalities.values()]
    audio_video = found.agreement[0]
    assert f"{100 * audio_video.steps:.1f}" in lines["audio - video"]
    assert float(lines["audio - text"][3]) == pytest.approx(100 * found.agreement[1].steps, abs=0.06)
    assert "raw counts" in describe_codes(model, store, raw=True).table()
