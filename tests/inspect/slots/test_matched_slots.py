"""The record of matched slots against a plain reading of what the regularizer returns."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from tiny_slot_run import SLOTS, STEPS, slot_run, write_store
from torch import nn

from unicode_cmg.data import FeatureStore
from unicode_cmg.errors import InputError
from unicode_cmg.inspect import MatchedSlots, matched_slots
from unicode_cmg.training import load_regularizers

GRID = (3, 2)


@pytest.mark.slow
def test_the_record_is_what_the_regularizer_finds(run: Path, store: FeatureStore) -> None:
    found = matched_slots(run, store, clips=6, tokens=4).to_json()
    method, (aligner,) = load_regularizers(run, store)
    words = list(store.tokens("text"))
    for row, clip in enumerate(found["clips"]):
        assert clip["clip"] == store.ids[row]
        batch = store.batch([row])
        with torch.no_grad():
            view = method.view(batch, method.represent(batch))
            slots = aligner.align(view, generator=torch.Generator().manual_seed(0))
        kept = [bool(keep) for keep in slots.joint.keep[0]]
        assert clip["joint"] == {"tokens": 10 + int(batch.masks["text"].sum()), "slots": sum(kept)}
        listed = {slot["slot"]: slot for slot in clip["slots"]}
        matched = {
            int(joint) for pairs in slots.pairs.values() for _, joint in pairs[0].nonzero(as_tuple=False)
        }
        assert set(listed) == matched
        for joint, slot in listed.items():
            assert kept[joint]
            by_modality = slots.joint.weights[0, :, joint].split(STEPS)
            assert slot["columns"] == pytest.approx(
                dict(zip(("audio", "video", "text"), (float(w.sum()) for w in by_modality), strict=True)),
                abs=1e-5,
            )
            for m, pairs in slots.pairs.items():
                numbers = [k for k in range(SLOTS["slots"]) if pairs[0, k, joint]]
                column = slots.similarity[m][0, :, joint].tolist()
                numbers.sort(key=lambda k, column=column: -column[k])
                assert [match["slot"] for match in slot["teachers"].get(m, [])] == numbers
                for match in slot["teachers"].get(m, []):
                    k = match["slot"]
                    similarity = torch.cosine_similarity(
                        slots.teachers[m].slots[0, k], slots.joint.slots[0, joint], dim=0
                    )
                    assert match["similarity"] == pytest.approx(float(similarity), abs=1e-5)
                    weights = slots.teachers[m].weights[0, :, k].tolist()
                    valid = [n for n, weight in enumerate(weights) if weight > 0]
                    assert clip["teachers"][m]["tokens"] == len(valid)
                    best = sorted(valid, key=lambda n, w=weights: -w[n])
                    best = best[: min(4, math.ceil(len(valid) * 3 / 10))]
                    assert [token["token"] for token in match["tokens"]] == best
                    for token in match["tokens"]:
                        assert token["weight"] == pytest.approx(weights[token["token"]], abs=1e-6)
                        _check_place(m, token, words[row])


def _check_place(teacher: str, token: dict[str, object], words: tuple[str | None, ...]) -> None:
    number = int(str(token["token"]))
    if teacher == "video":
        step, cell = divmod(number, GRID[0] * GRID[1])
        assert (token["step"], token["row"], token["col"]) == (step, *divmod(cell, GRID[1]))
    else:
        assert (token["step"], token["row"], token["col"]) == (number, None, None)
    assert token["word"] == (words[number] if teacher == "text" else None)


@pytest.mark.slow
def test_the_same_arguments_give_the_same_record(run: Path, store: FeatureStore) -> None:
    found = matched_slots(run, store)
    assert matched_slots(run, store) == found
    assert matched_slots(run, store, seed=1).clips != found.clips
    assert MatchedSlots.parse(json.loads(json.dumps(found.to_json(), allow_nan=False)), where="test") == found


def test_a_clip_has_the_same_slots_whichever_others_are_looked_at(run: Path, store: FeatureStore) -> None:
    both = matched_slots(run, store, clips=["clip-9", "clip-2"])
    assert [clip.clip for clip in both.clips] == ["clip-9", "clip-2"]
    every = {clip.clip: clip for clip in matched_slots(run, store, clips=100).clips}
    assert len(every) == len(store)
    for clip in both.clips:
        other = every[clip.clip]
        assert [slot.slot for slot in clip.slots] == [slot.slot for slot in other.slots]
        assert (clip.joint, clip.teachers, clip.words) == (other.joint, other.teachers, other.words)


def test_slots_that_most_teachers_found_come_first(run: Path, store: FeatureStore) -> None:
    clips = matched_slots(run, store, clips=24).clips
    assert any(len(clip.slots) > 1 for clip in clips)
    for clip in clips:
        ranks = [
            (-len(slot.teachers), -sum(matches[0].similarity for matches in slot.teachers.values()))
            for slot in clip.slots
        ]
        assert ranks == sorted(ranks)


def test_the_summary_averages_over_clips_and_pairs(run: Path, store: FeatureStore) -> None:
    found = matched_slots(run, store, clips=5)
    row = found.summary()["text"]
    pairs = [(clip, slot) for clip in found.clips for slot in clip.slots if "text" in slot.teachers]
    assert row.tokens == pytest.approx(sum(clip.teachers["text"].tokens for clip in found.clips) / 5)
    assert row.slots == pytest.approx(sum(clip.teachers["text"].slots for clip in found.clips) / 5)
    assert row.matched == pytest.approx(len(pairs) / 5)
    best = [(clip.teachers["text"].tokens, slot.teachers["text"][0]) for clip, slot in pairs]
    assert row.similarity == pytest.approx(sum(match.similarity for _, match in best) / len(best))
    shown = [sum(token.weight for token in match.tokens) for _, match in best]
    assert row.shown == pytest.approx(sum(shown) / len(best))
    even = [len(match.tokens) / tokens for tokens, match in best]
    assert row.even == pytest.approx(sum(even) / len(best))
    assert f"{100 * row.shown:.1f} %" in found.table()


def test_matched_slots_are_compared_step_by_step(run: Path, store: FeatureStore) -> None:
    found = matched_slots(run, store, clips=7)
    method, (aligner,) = load_regularizers(run, store)
    batch = store.batch(range(7))
    with torch.no_grad():
        view = method.view(batch, method.represent(batch))
        slots = aligner.align(view, generator=torch.Generator().manual_seed(0))
    overlaps: dict[bool, list[float]] = {True: [], False: []}
    audio, video = slots.teachers["audio"], slots.teachers["video"]
    for row in range(7):
        for k in audio.keep[row].nonzero()[:, 0].tolist():
            for j in video.keep[row].nonzero()[:, 0].tolist():
                heard = audio.weights[row, :, k]
                seen = video.weights[row, :, j].view(STEPS, -1).sum(1)
                common = sum(min(float(a), float(b)) for a, b in zip(heard, seen, strict=True))
                joints = slots.pairs["audio"][row, k] & slots.pairs["video"][row, j]
                overlaps[bool(joints.any())].append(common)
    (pair,) = found.moments
    assert pair.teachers == ("audio", "video")  # the steps of text are words
    assert overlaps[True]
    assert overlaps[False]
    assert pair.matched == pytest.approx(sum(overlaps[True]) / len(overlaps[True]), abs=1e-5)
    assert pair.others == pytest.approx(sum(overlaps[False]) / len(overlaps[False]), abs=1e-5)
    assert f"{100 * pair.matched:.1f} %" in found.table()


class Halves(nn.Module):
    """Two tokens a clip, made of the first and the second half of its steps."""

    def forward(self, features: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        halves = torch.stack([features[:, :2].mean(1), features[:, 2:].mean(1)], dim=1)
        return halves, torch.ones(halves.shape[:2], dtype=torch.bool)


@pytest.mark.slow
def test_tokens_of_a_module_have_numbers_and_no_places(tmp_path: Path) -> None:
    store = write_store(tmp_path / "store", columns=("audio", "video", "text", "deep"))
    teachers = {"text": {}, "halves": {"column": "deep", "module": "test_matched_slots:Halves"}}
    run = slot_run(store, tmp_path / "run", {**SLOTS, "teachers": teachers})
    with pytest.raises(InputError, match=r"names code to import and run: test_matched_slots:Halves"):
        matched_slots(run, store)
    found = matched_slots(run, store, trust_code=True)
    assert list(found.teachers) == ["text", "halves"]
    assert found.moments == ()
    halves = found.teachers["halves"]
    assert (halves.column, halves.steps, halves.rows, halves.cols) == ("deep", None, None, None)
    tokens = [
        token
        for clip in found.clips
        for slot in clip.slots
        for match in slot.teachers.get("halves", ())
        for token in match.tokens
    ]
    assert {token.token for token in tokens} <= {0, 1}
    assert {(token.step, token.row, token.col, token.word) for token in tokens} == {(None,) * 4}


@pytest.mark.slow
def test_runs_stores_and_clips_that_do_not_fit_are_refused(
    run: Path, store: FeatureStore, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="exported model does not hold them"):
        matched_slots(run / "model", store)
    with pytest.raises(InputError, match=r"no clip 'clip-99'; expected ids such as 'clip-0'"):
        matched_slots(run, store, clips=["clip-1", "clip-99"])
    with pytest.raises(InputError, match="clips is 0"):
        matched_slots(run, store, clips=0)
    with pytest.raises(InputError, match="no clip"):
        matched_slots(run, store, clips=[])
    with pytest.raises(InputError, match="tokens is 0"):
        matched_slots(run, store, tokens=0)
    bare = write_store(tmp_path / "bare", columns=("audio", "video"))
    with pytest.raises(InputError, match="no modality 'text'"):
        matched_slots(run, bare)
    other = slot_run(store, tmp_path / "other", {"name": "structure"})
    with pytest.raises(InputError, match=r"no slots, it was trained with structure; expected slot_alignment"):
        matched_slots(other, store)
