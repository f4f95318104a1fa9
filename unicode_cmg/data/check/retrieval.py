"""`data check` of the retrieval sets: the list, the captions, their word vectors, and the zips."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from unicode_cmg.data.categories import expected
from unicode_cmg.data.check.arrays import check_features
from unicode_cmg.data.check.clips import check_clips
from unicode_cmg.data.check.findings import Findings, named, repeated
from unicode_cmg.data.layouts._retrieval_sets import LAYOUTS
from unicode_cmg.data.layouts._words import read_words_mask, words_file
from unicode_cmg.data.layouts.retrieval import RetrievalData, read_retrieval


def check_retrieval(findings: Findings, root: Path) -> None:
    """Check the set that `findings.task` names: its folder in `root`, or `root` itself."""
    data = findings.attempt(read_retrieval, findings.task, root)
    if data is None:
        layout = LAYOUTS[findings.task]
        for modality, folder in layout.features_in(layout.folder(root)).items():
            if not folder.is_dir():
                findings.problem(folder, f"no such folder; expected zips of {modality}, one an item")
        return
    _check_list(findings, data)
    for modality, folder in data.feature_folders.items():
        check_clips(findings, folder, data.items, modality)
    if data.captions:
        _check_words(findings, data)


def _check_list(findings: Findings, data: RetrievalData) -> None:
    findings.compare(data.table, {"items": len(data.items)}, expected(data.name))
    pairs = LAYOUTS[data.name].form.read(data.table)
    if twice := repeated(f"{item} {caption or ''}".strip() for item, caption in pairs):
        findings.note(data.table, named("entries that occur more than once", twice))
    if data.captions:
        counts = sorted(set(Counter(data.caption_items.tolist()).values()))
        spread = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        findings.ok(data.table, f"{len(data.captions)} captions, {spread} an item")
        shared = repeated(caption for _, caption in dict.fromkeys(pairs) if caption is not None)
        if shared:
            findings.note(
                data.table, named("captions told of several items, each right for its own only", shared)
            )


def _check_words(findings: Findings, data: RetrievalData) -> None:
    file = words_file(data.table.parent)
    if not file.is_file():
        findings.problem(
            file,
            "no word vectors of the captions, so that text cannot be evaluated; write them with"
            " unicode_cmg.data.layouts.write_caption_words",
        )
        return
    mask = findings.attempt(read_words_mask, file.parent, len(data.captions))
    if mask is not None:
        check_features(findings, file, "text", len(data.captions), mask.shape[1])
        words = mask.sum(1)
        findings.ok(file, f"{words.min()} to {words.max()} words a caption")
