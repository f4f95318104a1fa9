from __future__ import annotations

from pathlib import Path

import numpy as np
from tiny_sets import h5, one, told

from unicode_cmg.data.check import check_data
from unicode_cmg.data.layouts import (
    read_retrieval,
    write_caption_words,
    write_retrieval,
)


def test_captions_and_their_words_are_looked_at(tmp_path: Path) -> None:
    pairs = [
        ("000000000001", "a dog"),
        ("000000000002", "a dog"),
        ("000000000001", "a dog"),
        ("000000000001", "x"),
    ]
    clips = {item: np.ones((1, 7, 7, 512)) for item in ("000000000001", "000000000002")}
    write_retrieval("coco", tmp_path, {"video": clips}, pairs)
    findings = check_data("coco", tmp_path)
    one(
        told(findings, "problem"),
        "MSCOCO/text_feature.h5: no word vectors of the captions",
        "write_caption_words",
    )
    one(told(findings, "ok"), "2 items")
    one(told(findings, "ok"), "4 captions, 1 to 3 for each item")
    one(told(findings, "note"), "entries that occur more than once: 1 (000000000001 a dog)")
    one(told(findings, "note"), "captions of several items, each correct for its own item only: 1 (a dog)")
    write_caption_words(read_retrieval("coco", tmp_path), [np.ones((k + 1, 3)) for k in range(4)])
    findings = check_data("coco", tmp_path)
    assert findings.usable
    one(told(findings, "ok"), "text_feature.h5: 1 to 4 words in a caption")
    h5(tmp_path / "MSCOCO/text_mask.h5", np.zeros((4, 4)))
    one(told(check_data("coco", tmp_path), "problem"), "text_mask.h5: caption 0 has no valid word")


def test_clotho_is_compared_with_its_evaluation_list(tmp_path: Path) -> None:
    items = [f"{i}" for i in range(3)]
    captions = [(item, f"{item} {k}") for item in items for k in range(5)]
    write_retrieval("clotho", tmp_path, {"audio": {i: np.ones((15, 128)) for i in items}}, captions)
    findings = check_data("clotho", tmp_path)
    one(told(findings, "note"), "3 items (published 1045)")
    one(told(findings, "ok"), "15 captions, 5 for each item")
    assert len(told(findings, "note")) == 1
    (tmp_path / "clotho2.1/feature/zip/1.zip").unlink()
    one(told(check_data("clotho", tmp_path), "problem"), "1 of 3 clips have no zip: 1;")
