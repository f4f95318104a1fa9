"""Watches a run: says each kind of finding once while it trains, and gives the verdict at its end."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64

from unicode_cmg.data.store import FeatureStore
from unicode_cmg.methods.base import Method
from unicode_cmg.training.batches import BatchPlan
from unicode_cmg.training.config import PretrainConfig
from unicode_cmg.training.diagnosis.before import Course, course_findings, feature_findings
from unicode_cmg.training.diagnosis.codes import CodeFigures, code_figures, code_findings
from unicode_cmg.training.diagnosis.during import Line, less_club, log_findings
from unicode_cmg.training.diagnosis.verdict import Finding, Kind, Verdict, write_verdict

_HISTORY = 400  # lines
_CHECKS = 100  # over a run
_SAMPLE = 2**22  # numbers
_ENCODED = 256  # clips


class Callback:
    """What `fit` tells while it trains, on the first rank; a subclass overrides what it wants to hear."""

    def on_log(self, line: Mapping[str, Any]) -> None:
        """A line was added to `metrics.jsonl`: losses or, after an epoch, those of validation."""

    def on_finding(self, finding: Finding) -> None:
        """Something was found that the run has not shown before."""

    def on_end(self, verdict: Verdict) -> None:
        """The last step is done."""


class Watch:
    """Follows one run.

    Args:
        course: What is known of the run before its first step.
        run: Its folder, which exists.
        callbacks: Who else wants to know.
        say: Prints a line.
    """

    def __init__(
        self, course: Course, run: Path, callbacks: Sequence[Callback], say: Callable[[str], None]
    ) -> None:
        self._course, self._run, self._callbacks, self._say = course, run, callbacks, say
        self._before: list[Finding] = []
        self._found: dict[Kind, Finding] = {}
        self._lines: list[Line] = []
        self._checked = 0

    def start(self, features: Iterable[Finding], lines: Iterable[Line]) -> None:
        """Say what is wrong with settings and features; of a resumed run, read the lines it has written."""
        self._before = [*course_findings(self._course), *features]
        step = 0
        for line in lines:
            self._follow(line)
            step = line["step"]
        self._note(self._before, step=0, quiet=step > 0)
        write_verdict(self._run, self._verdict(self._before, step=step))

    def read(self, line: Line) -> None:
        """Take in a line of the log."""
        for callback in self._callbacks:
            callback.on_log(line)
        if new := self._follow(line):
            self._tell(new)
            write_verdict(self._run, self._verdict(self._found.values(), step=line["step"]))

    def end(self, figures: CodeFigures) -> Verdict:
        """The verdict, which is also written.

        Args:
            figures: Of the codes of the finished model.
        """
        step = self._lines[-1]["step"] if self._lines else 0
        holds = [*self._before, *log_findings(self._lines, self._course, ended=True)]
        holds += code_findings(figures, less_club(self._lines, self._course))
        first = {kind: finding.step for kind, finding in self._found.items()}
        verdict = self._verdict([f.at(first.get(f.kind, step)) for f in holds], step=self._course.steps)
        write_verdict(self._run, verdict)
        for callback in self._callbacks:
            callback.on_end(verdict)
        return verdict

    def _follow(self, line: Line) -> list[Finding]:
        """Remember a line; what is new."""
        if "loss" not in line:
            return []
        self._lines.append(line)
        if len(self._lines) > _HISTORY:  # old lines half as dense, new ones as they come
            self._lines = [*self._lines[: _HISTORY // 2 : 2], *self._lines[_HISTORY // 2 :]]
        if line["step"] < self._checked + self._course.steps / _CHECKS:
            return []
        self._checked = line["step"]
        return self._note(log_findings(self._lines, self._course), step=line["step"], quiet=True)

    def _note(self, findings: Iterable[Finding], *, step: int, quiet: bool) -> list[Finding]:
        """Remember the first finding of each kind, and say it unless `quiet`."""
        new = []
        for finding in findings:
            if finding.kind not in self._found:
                self._found[finding.kind] = finding.at(step)
                new.append(self._found[finding.kind])
        if not quiet:
            self._tell(new)
        return new

    def _tell(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            self._say(finding.line)
            for callback in self._callbacks:
                callback.on_finding(finding)

    def _verdict(self, holds: Iterable[Finding], *, step: int) -> Verdict:
        holding = {finding.kind: finding for finding in reversed(list(holds))}
        passed = [finding for kind, finding in self._found.items() if kind not in holding]
        return Verdict.of(holding.values(), passed, step=step, steps=self._course.steps)


def course_of(
    config: PretrainConfig,
    method: Method[Any],
    plan: BatchPlan,
    store: FeatureStore,
    weight_of: Callable[[str], float],
) -> Course:
    """What is known of a run before its first step; the method is told of its last step meanwhile.

    Args:
        config: The run's settings.
        method: The method.
        plan: Its batches.
        store: What it trains on.
        weight_of: The weight of a loss term at the current step.
    """
    epochs, each = config.training.epochs, plan.steps_per_epoch
    method.begin_step(step=epochs * each - 1, epoch=epochs - 1)
    never = tuple(term for term, factor in method.loss_factors().items() if factor == 0)
    time = min(store.modalities[m][0] for m in method.modalities)
    first, last = plan.clips_of(0), plan.clips_of(each - 1)
    full, rest = method.chance_losses(first, time), method.chance_losses(last, time)
    return Course(
        steps=epochs * each,
        steps_per_epoch=each,
        clips=first,
        warmup_steps=config.optimizer.warmup_steps,
        clip_norm=config.optimizer.clip_norm,
        weight_of=weight_of,
        chance={term: full[term] + (rest[term] - full[term]) / each for term in full},
        never=never,
        codes=method.code_layers(),
        rare=tuple(m for m in method.modalities if store.present[m][plan.all_clips()].mean() < 0.5),
    )


def sample_findings(
    config: PretrainConfig, method: Method[Any], store: FeatureStore, clips: Int64[np.ndarray, " clips"]
) -> list[Finding]:
    """What a few of the clips to train on tell of their features."""
    standardized = bool(getattr(config.method.settings, "standardize", False))  # a setting of our methods
    numbers = sum(math.prod(store.modalities[m]) for m in method.modalities)
    batch = store.batch(_evenly(clips, _SAMPLE // numbers), modalities=method.modalities)
    return list(feature_findings(batch, standardized=standardized))


def model_figures(
    config: PretrainConfig,
    method: Method[Any],
    store: FeatureStore,
    clips: Int64[np.ndarray, " clips"],
    device: torch.device,
) -> CodeFigures:
    """How the modalities of a finished model use the codes of a few of the clips trained on."""
    rows = _evenly(clips, _ENCODED)
    size = config.training.batch_size
    chunks = (rows[first : first + size] for first in range(0, len(rows), size))
    batches = (store.batch(chunk, modalities=method.modalities).to(device) for chunk in chunks)
    return code_figures(method, batches)


def _evenly(clips: Int64[np.ndarray, " clips"], count: int) -> Int64[np.ndarray, " some"]:
    """Some of the clips, at least 16 if there are as many."""
    places = np.linspace(0, len(clips) - 1, min(len(clips), max(16, count)))
    return np.sort(clips)[np.unique(places.astype(np.int64))]
