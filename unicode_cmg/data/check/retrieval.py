"""`data check` of the retrieval sets: the list, the captions, their word vectors, and the zips."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from unicode_cmg.data.categories import expected
from unicode_cmg.data.check.features import check_arrays, check_clips, span
from unicode_cmg.data.check.report import CheckReport, repeated, shorten
from unicode_cmg.data.layouts.retrieval import RetrievalData, read_retrieval, read_words_mask, words_file
from unicode_cmg.data.layouts.retrieval_lists import LAYOUTS


def check_retrieval(report: CheckReport, root: Path) -> None:
    """Check the set `report.task`: its folder in `root`, or `root` itself."""
    data = report.attempt(read_retrieval, report.task, root)
    if data is None:
        layout = LAYOUTS[report.task]
        for modality, folder in layout.features_in(layout.folder(root)).items():
            if not folder.is_dir():
                report.problem(folder, f"no such folder; expected zips of {modality}, one for each item")
        return
    _check_list(report, data)
    for modality, folder in data.feature_folders.items():
        check_clips(report, folder, data.items, modality)
    if data.captions:
        _check_words(report, data)


def _check_list(report: CheckReport, data: RetrievalData) -> None:
    published = expected(data.name)
    report.compare(data.table, {"items": len(data.items)}, published)
    items = set(data.items)
    absent = [name for name in published.get("names", ()) if name not in items]
    if absent and len(items) == published["items"]:
        what = f"{len(absent)} of {len(published['names'])} items that the published test list has are absent"
        report.note(data.table, f"{what} ({shorten(absent)}): is this the list of another split?")
    pairs = LAYOUTS[data.name].read(data.table)
    entries = repeated(f"{item} {caption or ''}".strip() for item, caption in pairs)
    report.note_names(data.table, "entries that occur more than once", entries)
    if data.captions:
        counts = span(Counter(data.caption_items.tolist()).values())
        report.ok(data.table, f"{len(data.captions)} captions, {counts} for each item")
        shared = repeated(caption for _, caption in dict.fromkeys(pairs) if caption is not None)
        report.note_names(data.table, "captions of several items, each correct for its own item only", shared)


def _check_words(report: CheckReport, data: RetrievalData) -> None:
    file = words_file(data.table.parent)
    if not file.is_file():
        report.problem(
            file,
            "no word vectors of the captions, so text cannot be evaluated; write them with"
            " unicode_cmg.data.layouts.write_caption_words",
        )
        return
    mask = report.attempt(read_words_mask, file.parent, len(data.captions))
    if mask is not None:
        check_arrays(report, file, "text", len(data.captions), mask.shape[1])
        report.ok(file, f"{span(mask.sum(1).tolist())} words in a caption")
