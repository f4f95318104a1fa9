"""From numbers to findings: each kind speaks where it should, and is silent where a run is fine."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import permutations
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from places import DOCS

from unicode_cmg.batch import FeatureBatch
from unicode_cmg.errors import InputError
from unicode_cmg.training.diagnosis import Callback, Finding, Verdict, read_verdict
from unicode_cmg.training.diagnosis.before import Course, course_findings, feature_findings
from unicode_cmg.training.diagnosis.codes import CodeFigures, code_findings, how_related
from unicode_cmg.training.diagnosis.during import log_findings
from unicode_cmg.training.diagnosis.verdict import Kind, write_verdict
from unicode_cmg.training.diagnosis.watch import Watch

CHANCE = {"cpc": 27.61}


def code_figures_of(related: dict[tuple[str, str], float], used: dict[str, float]) -> CodeFigures:
    return CodeFigures(related, {(m, other): used[m] for m, other in permutations(used, 2)})


FINE = code_figures_of(
    {("audio", "video"): 0.99, ("audio", "text"): 0.95, ("video", "text"): 0.95},
    {"audio": 49.9, "video": 44.5, "text": 12.3},
)
"""Of a quickstart: text has few codes and shares none, and yet it is near the others."""


def course(**changes: Any) -> Course:
    values: dict[str, Any] = {
        "steps": 600,
        "steps_per_epoch": 40,
        "clips": 80,
        "warmup_steps": 100,
        "clip_norm": 0.5,
        "weight_of": lambda term: 1.0,
        "chance": CHANCE,
        "codes": {"layer0": 100},
    }
    return Course(**values | changes)


def lines(steps: int = 600, **changes: Any) -> list[dict[str, Any]]:
    """The log of a good run, every tenth step; `changes` are functions of the share done, or numbers."""
    made = []
    for step in range(10, steps + 1, 10):
        done = step / steps
        values = {
            "loss/cpc": 27 - 16 * done,
            "loss/reconstruction/audio": 2 - done,
            "loss/club/audio": 0.2,
            "gradient_norm/encoder": 10.0,
            "codebook/layer0/unused": 20.0,
            "codebook/layer0/perplexity/audio": 35.0,
            "codebook/layer0/perplexity/text": 14.0,
            "codebook/layer0/agreement/audio-text": 0.005,
            "codebook/layer0/agreement/audio-video": 0.7 * done,
        }
        values |= {key: value(done) if callable(value) else value for key, value in changes.items()}
        line: dict[str, Any] = {"step": step, "loss": {}, "gradient_norm": {}, "codebook": {}}
        for key, value in values.items():
            group, _, name = key.partition("/")
            line[group][name] = value
        line["loss"]["total"] = sum(value for value in line["loss"].values())
        made.append(line)
    return made


def batch(**features: torch.Tensor) -> FeatureBatch:
    return FeatureBatch.of(features)


def noise(*, deviation: float = 1.0, offset: float = 0.0) -> torch.Tensor:
    drawn = torch.randn(40, 5, 6, generator=torch.Generator().manual_seed(0))
    return deviation * drawn + offset


def by_kind() -> Iterator[Finding]:
    """One of each kind, with the numbers that the page on troubleshooting shows."""
    yield from feature_findings(batch(audio=torch.ones(4, 2, 3), video=noise()), standardized=False)
    yield from feature_findings(batch(audio=noise(), speech=noise(deviation=300.0)), standardized=False)
    yield from course_findings(course(steps=90, steps_per_epoch=6))
    yield from course_findings(course(never=("cpc/layer1", "club/layer1/audio")))
    yield from course_findings(course(clips=1))
    bad: list[Mapping[str, Any]] = [
        {"loss/reconstruction/audio": lambda done: 2 + 1000 * done},
        {"loss/cpc": 27.6},
        {"codebook/layer0/unused": 87.0},
        {"codebook/layer0/agreement/audio-video": 0.0},
        {"gradient_norm/encoder": 271.0},
        {"loss/club/audio": lambda done: 0.2 + 20 * done},
        {"loss/reconstruction/audio": 900.0},
    ]
    for changes in bad:
        yield from log_findings(lines(**changes), course(), ended=True)
    collapsed = {("image", "text"): 0.84, ("image", "speech"): 0.83, ("text", "speech"): 0.97}
    yield from code_findings(code_figures_of(collapsed, {"image": 8.9, "text": 71.5, "speech": 68.9}))
    yield from code_findings(code_figures_of({("audio", "text"): 0.52}, {"audio": 30.0, "text": 30.0}))


def test_every_kind_of_finding_can_be_found() -> None:
    assert {finding.kind for finding in by_kind()} == set(get_args(Kind))


def test_a_rare_modality_is_compared_on_the_clips_that_have_it() -> None:
    related = {("image", "text"): 0.95, ("image", "sound"): 0.84, ("text", "sound"): 0.85}
    whole = code_figures_of(related, {"image": 117.0, "text": 110.0, "sound": 22.0})
    assert [finding.kind for finding in code_findings(whole)] == ["few-codes"]
    beside = {("image", "sound"): 29.0, ("text", "sound"): 31.0}
    assert list(code_findings(CodeFigures(related, {**whole.perplexity, **beside}))) == []
    few = lines(**{"codebook/layer0/perplexity/text": 5.0})
    assert "few-codes" in [finding.kind for finding in log_findings(few, course())]
    assert list(log_findings(few, course(rare=("text",)))) == []


def page() -> str:
    return (DOCS / "guide" / "troubleshooting.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", get_args(Kind))
def test_every_line_that_is_printed_stands_in_the_guide(kind: Kind) -> None:
    entry = re.search(rf"^### `{kind}`\n(.*?)(?=^#|\Z)", page(), flags=re.DOTALL | re.MULTILINE)
    assert entry is not None
    finding = next(finding for finding in by_kind() if finding.kind == kind)
    assert finding.line in entry[1]


def test_the_guide_has_no_entry_for_what_is_never_printed() -> None:
    assert set(re.findall(r"^### `([\w-]+)`$", page(), flags=re.MULTILINE)) == set(get_args(Kind))


def test_nothing_is_said_of_a_good_run() -> None:
    log = lines()
    assert list(course_findings(course())) == []
    for end in range(1, len(log) + 1):
        assert list(log_findings(log[:end], course())) == []
    assert list(log_findings(log, course(), ended=True)) == []
    assert list(code_findings(FINE)) == []
    assert list(feature_findings(batch(a=noise(), b=noise(offset=0.5)), standardized=False)) == []


def test_the_wild_first_steps_of_a_good_run_are_no_findings() -> None:
    early: dict[str, Any] = {
        "codebook/layer0/perplexity/text": lambda done: 1.5 if done < 0.17 else 14.0,
        "codebook/layer0/unused": lambda done: 90.0 if done < 0.17 else 20.0,
        "loss/cpc": lambda done: 27.6 if done < 0.17 else 15.0,
        "gradient_norm/encoder": lambda done: 900.0 if done < 0.17 else 10.0,
    }
    log = lines(**early)
    assert [f for end in range(1, len(log) + 1) for f in log_findings(log[:end], course())] == []


def test_what_lasts_is_found_while_it_happens() -> None:
    log = lines(**{"codebook/layer0/unused": lambda done: 87.0 if done > 0.4 else 20.0})
    first = next(end for end in range(1, len(log)) if list(log_findings(log[:end], course())))
    assert 0.4 < first / len(log) < 0.65


def test_a_term_without_weight_cannot_dominate_or_grow() -> None:
    log = lines(**{"loss/club/audio": lambda done: 0.2 + 500 * done})
    for line in log:
        line["loss"]["total"] -= line["loss"]["club/audio"]
    weightless = course(weight_of=lambda term: 0.0 if term.startswith("club") else 1.0)
    assert list(log_findings(log, weightless, ended=True)) == []


def test_a_method_without_clubs_is_not_told_to_weigh_it_less() -> None:
    log = lines(**{"loss/cpc": 27.6})
    for line in log:
        del line["loss"]["club/audio"]
    (finding,) = log_findings(log, course(), ended=True)
    assert "club" not in finding.fix


@pytest.mark.parametrize(("steps", "bad"), [(90, True), (100, True), (199, False)])
def test_a_run_inside_its_warm_up_is_bad_and_one_mostly_inside_is_noted(steps: int, bad: bool) -> None:
    (finding,) = course_findings(course(steps=steps))
    assert (finding.kind, finding.bad) == ("short-warm-up", bad)
    assert list(course_findings(course(steps=200))) == []


def test_a_method_that_standardizes_is_not_told_to() -> None:
    wild = batch(audio=noise(deviation=300.0), video=noise(offset=7.0))
    assert [f.kind for f in feature_findings(wild, standardized=False)] == ["unscaled-features"]
    assert list(feature_findings(wild, standardized=True)) == []


def test_padding_and_absent_modalities_do_not_count_as_features() -> None:
    features = noise()
    features[:, 3:] = 1e6
    masks = {"audio": torch.arange(5).expand(40, 5) < 3, "video": torch.zeros(40, 5, dtype=torch.bool)}
    padded = FeatureBatch({"audio": features, "video": noise(deviation=0.0)}, masks)
    assert list(feature_findings(padded, standardized=False)) == []


def test_how_related_is_1_for_the_same_vectors_and_half_for_ties_and_chance() -> None:
    units = torch.eye(6)
    assert how_related(units, units) == pytest.approx(1.0)
    assert how_related(torch.ones(6, 1), torch.ones(6, 1)) == pytest.approx(0.5)
    drawn = torch.nn.functional.normalize(
        torch.randn(2, 300, 8, generator=torch.Generator().manual_seed(1)), dim=-1
    )
    assert how_related(drawn[0], drawn[1]) == pytest.approx(0.5, abs=0.03)
    hand = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    turned = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    assert how_related(hand, turned) == pytest.approx(0.0)


def finding(kind: Kind, *, bad: bool) -> Finding:
    return Finding(kind=kind, bad=bad, what=f"there is {kind}", fix="less")


def test_the_verdict_names_the_worst_finding_and_reads_back(tmp_path: Path) -> None:
    found = [
        finding("dominant-term", bad=False),
        finding("unused-codes", bad=True),
        finding("guessing", bad=True),
    ]
    verdict = Verdict.of(found, [], step=6, steps=6)
    assert verdict.sentence == "collapsed: there is guessing; try less"
    assert not verdict.healthy
    write_verdict(tmp_path, verdict)
    assert read_verdict(tmp_path) == verdict
    assert Verdict.of([finding("short-warm-up", bad=True)], [], step=6, steps=6).sentence.startswith(
        "untrained: "
    )
    assert Verdict.of(found[:1], [], step=6, steps=6).sentence == "healthy"
    assert read_verdict(tmp_path / "elsewhere") is None


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"step": -1, "steps": 2}', '{"step": 1, "steps": 2, "findings": [3]}']
)
def test_a_damaged_verdict_is_an_input_error_that_names_the_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "verdict.json").write_text(text)
    with pytest.raises(InputError, match=r"verdict\.json"):
        read_verdict(tmp_path)


class Told(Callback):
    def __init__(self) -> None:
        self.lines: list[Mapping[str, Any]] = []
        self.findings: list[Finding] = []
        self.verdicts: list[Verdict] = []

    def on_log(self, line: Mapping[str, Any]) -> None:
        self.lines.append(line)

    def on_finding(self, finding: Finding) -> None:
        self.findings.append(finding)

    def on_end(self, verdict: Verdict) -> None:
        self.verdicts.append(verdict)


def test_each_kind_is_said_once_and_a_resumed_run_does_not_repeat_it(tmp_path: Path) -> None:
    log = lines(**{"codebook/layer0/unused": 87.0})
    said: list[str] = []
    told = Told()
    whole = Watch(course(), tmp_path, [told], said.append)
    whole.start([], [])
    for line in log:
        whole.read(line)
    verdict = whole.end(FINE)
    assert [re.findall(r"\[(.*)\]", line) for line in said] == [["unused-codes"]]
    assert [f.kind for f in told.findings] == ["unused-codes"]
    assert (told.lines, told.verdicts) == (log, [verdict])

    repeated: list[str] = []
    resumed = Watch(course(), tmp_path, [], repeated.append)
    resumed.start([], log[:40])
    for line in log[40:]:
        resumed.read(line)
    assert resumed.end(FINE) == verdict
    assert repeated == []


def test_a_long_run_is_remembered_in_a_bounded_number_of_lines(tmp_path: Path) -> None:
    watch = Watch(course(steps=20000), tmp_path, [], print)
    watch.start([], [])
    for line in lines(20000):
        watch.read(line)
    assert len(watch._lines) <= 400
    assert watch.end(FINE).sentence == "healthy"


def test_what_passed_is_kept_but_does_not_count(tmp_path: Path) -> None:
    log = lines(**{"codebook/layer0/unused": lambda done: 87.0 if done < 0.6 else 10.0})
    watch = Watch(course(), tmp_path, [], lambda line: None)
    watch.start([], [])
    for line in log:
        watch.read(line)
    verdict = watch.end(FINE)
    assert verdict.healthy
    assert [(f.kind, 0 < f.step < 400) for f in verdict.passed] == [("unused-codes", True)]
