"""A run with everything a report shows, and its page."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from made_run import (
    CLASSES,
    described_codes,
    evaluation,
    event_evaluation,
    make_run,
    retrieval_evaluation,
    with_confusion,
)
from page_reader import Page

from benchmarks.report import build_report
from unicode_cmg.data import LabelledClips
from unicode_cmg.data.digits.sources import prompt_vectors, recordings, scans, windows
from unicode_cmg.data.layouts.ave import Annotation, write_ave

CLIPS, STEPS = 30, 10
COLUMNS = len(CLASSES) + 1


@pytest.fixture(scope="session")
def full_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on embedded digits, with an evaluation of each kind of task, and its report."""
    rng = np.random.default_rng(3)
    ave = with_confusion(evaluation(rng), rng) | {"bootstrap": {"percent": 90.0}}
    ave["directions"][1] |= {"mean": 71.25, "std": 1.0, "interval": [68.0, 74.5]}
    results = {"ave": ave, "avvp": event_evaluation(rng), "clotho": retrieval_evaluation(rng)}
    run = make_run(tmp_path_factory.mktemp("full") / "run", results=results)
    _write_digits(run / "data")
    (run / "data" / "digits.json").write_text("{}", encoding="utf-8")
    own = {"features": LabelledClips.open(run / "data").fingerprint}
    codes = described_codes(np.random.default_rng(1)) | own
    (run / "codes" / "codes.json").write_text(json.dumps(codes), encoding="utf-8")
    build_report(run)
    return run


@pytest.fixture(scope="session")
def page(full_run: Path) -> Page:
    return Page((full_run / "report.html").read_text(encoding="utf-8"))


def _write_digits(root: Path) -> None:
    """Clips in the layout of AVE, each of one digit that is seen, heard and read at every step."""
    digits = np.arange(CLIPS) % len(CLASSES)
    labels = np.zeros((CLIPS, STEPS, COLUMNS), dtype=np.float32)
    labels[np.arange(CLIPS), :, digits] = 1
    seen = np.stack([np.flatnonzero(scans().classes == digit)[0] for digit in digits])
    heard = np.stack([np.flatnonzero(recordings().classes == digit)[0] for digit in digits])
    prompts = [f"the digit {CLASSES[digit]} is read aloud here" for digit in digits]
    features = {
        "video": np.repeat(windows(scans().pixels[seen])[:, None], STEPS, axis=1),
        "audio": np.repeat(recordings().vectors[heard][:, None], STEPS, axis=1),
        "text": np.stack([prompt_vectors(prompt) for prompt in prompts]),
    }
    order = {"train": np.arange(10), "val": np.arange(10, 20), "test": np.arange(20, 30)}
    notes = [Annotation(CLASSES[digit], f"clip-{i}", 0, STEPS) for i, digit in enumerate(digits)]
    write_ave(root / "AVE", features, labels, order, notes)
