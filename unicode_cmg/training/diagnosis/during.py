"""What the log of a run tells while it is written; thresholds come from runs known to be good or bad.

docs/guide/troubleshooting.md has the numbers of these runs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from statistics import fmean, median
from typing import Any

from unicode_cmg.training.diagnosis.before import Course
from unicode_cmg.training.diagnosis.verdict import Finding

Line = Mapping[str, Any]
"""A line of `metrics.jsonl` with losses; a number that was not finite is None."""

UNUSED = 0.7
CHANCE = 0.98
CLIP_EXCESS = 200.0
DOMINANT = 0.9
GROWTH = 10.0
MATERIAL = 0.2
DIVERGED = 3.0
SAME_CODE = 0.01
FEW = 0.2


def log_findings(lines: Sequence[Line], course: Course, *, ended: bool = False) -> Iterator[Finding]:
    """What the newest lines of a log say.

    Training is wild at first, so nothing is said of the warm-up, nor of what has not lasted for a fifth of
    the run and 50 steps.

    Args:
        lines: All lines so far, oldest first.
        course: What is known of the run.
        ended: The run is over: what its last steps show counts even if it has not lasted.
    """
    yield from _growth(lines, course)
    trained = [line for line in lines if line["step"] > min(course.warmup_steps, course.steps // 2)]
    if not trained:
        return
    span = max(50, course.steps // 5)
    end = trained[-1]["step"]
    recent = list(takewhile(lambda line: line["step"] > end - span, reversed(trained)))[::-1]
    lasting = end - trained[0]["step"] >= span
    if ended or lasting:
        for check in (_guessing, _unused_codes, _disjoint_codes, _large_gradients, _dominant_term):
            yield from check(recent, course)
    if lasting and not ended:  # at the end the codes themselves are looked at
        yield from _few_codes(recent, course)


def values_of(lines: Sequence[Line], group: str) -> dict[str, list[float]]:
    """The numbers of a group of the log by name, oldest first."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    for line in lines:
        for name, value in (line.get(group) or {}).items():
            if value is not None:
                found[name].append(value)
    return dict(found)


def _weighted(lines: Sequence[Line], course: Course) -> dict[str, list[float]]:
    """What each term adds to the loss that is minimized."""
    terms = values_of(lines, "loss")
    return {
        name: [weight * value for value in values]
        for name, values in terms.items()
        if name != "total" and not name.startswith("critic") and (weight := course.weight_of(name))
    }


def less_club(lines: Sequence[Line], course: Course) -> str:
    """The advice to weigh CLUB less, where it takes part."""
    club = any(name.split("/")[0] == "club" for name in _weighted(lines[-1:], course))
    return "a smaller loss_weights.club, " if club else ""


def _guessing(recent: Sequence[Line], course: Course) -> Iterator[Finding]:
    terms = values_of(recent, "loss")
    for name, chance in course.chance.items():
        values = terms.get(name, [])
        if course.clips > 1 and course.weight_of(name) and values and fmean(values) > CHANCE * chance:
            yield Finding(
                kind="guessing",
                bad=True,
                what=f"{name} is {fmean(values):.3g}, and guessing which clips belong together gives "
                f"{chance:.3g}",
                fix=f"a longer run, {less_club(recent, course)}or another optimizer.lr; check that row i of "
                "every modality is the same clip",
            )
            return


def _unused_codes(recent: Sequence[Line], course: Course) -> Iterator[Finding]:
    numbers = values_of(recent, "codebook")
    for layer, codes in course.codes.items():
        unused = numbers.get(f"{layer}/unused", [])
        if unused and median(unused) >= UNUSED * codes:
            yield Finding(
                kind="unused-codes",
                bad=True,
                what=f"{median(unused):.0f} of {codes} codes of {layer} are used by no clip",
                fix="fewer codes (method.num_codes), method.codebook.init=data, a smaller "
                f"method.codebook.revive_after, {less_club(recent, course)}or a smaller optimizer.lr",
            )
            return


def _few_codes(recent: Sequence[Line], course: Course) -> Iterator[Finding]:
    numbers = values_of(recent, "codebook")
    found = {name: fmean(values) for name, values in numbers.items() if "/perplexity/" in name}
    for name, codes in found.items():
        layer, _, modality = name.partition("/perplexity/")
        most = max(value for other, value in found.items() if other.startswith(f"{layer}/"))
        if codes < FEW * most and modality not in course.rare:
            yield Finding(
                kind="few-codes",
                bad=False,
                what=f"{modality} uses {codes:.1f} codes of {layer} effectively, another modality {most:.1f}",
                fix=f"{less_club(recent, course)}standardized features, or a longer run",
            )
            return


def _disjoint_codes(recent: Sequence[Line], course: Course) -> Iterator[Finding]:
    shares: defaultdict[str, list[float]] = defaultdict(list)
    for name, values in values_of(recent, "codebook").items():
        layer, _, pair = name.partition("/agreement/")
        if pair:
            shares[layer].append(fmean(values))
    for layer, found in shares.items():
        if max(found) < SAME_CODE:
            yield Finding(
                kind="disjoint-codes",
                bad=False,
                what=f"no two modalities choose the same code of {layer} in more than "
                f"{100 * max(found):.1f} % of the steps",
                fix=f"a smaller method.codebook.own_weight, {less_club(recent, course)}or a longer run",
            )
            return


def _large_gradients(recent: Sequence[Line], course: Course) -> Iterator[Finding]:
    if course.clip_norm is None:
        return
    norms = {name: median(values) for name, values in values_of(recent, "gradient_norm").items()}
    name = max(norms, key=lambda module: norms[module], default="")
    if name and norms[name] > CLIP_EXCESS * course.clip_norm:
        yield Finding(
            kind="large-gradients",
            bad=False,
            what=f"the gradient norm of '{name}' is {norms[name]:.3g}, "
            f"{norms[name] / course.clip_norm:.0f} times optimizer.clip_norm={course.clip_norm:g}",
            fix="a smaller weight of the term that dominates, standardized features, or a smaller "
            "optimizer.lr",
        )


def _dominant_term(recent: Sequence[Line], course: Course) -> Iterator[Finding]:
    """Terms of contrast are the largest by nature, and known never to be far above the value of guessing."""
    means = {name: abs(fmean(values)) for name, values in _weighted(recent, course).items()}
    name, whole = max(means, key=lambda term: means[term], default=""), sum(means.values())
    if len(means) > 1 and name not in course.chance and means[name] > DOMINANT * whole:
        yield Finding(
            kind="dominant-term",
            bad=False,
            what=f"{name} is {100 * means[name] / whole:.0f} % of the weighted loss, so that the other terms "
            "hardly count",
            fix=f"a smaller weight of it under loss_weights (now {course.weight_of(name):g})",
        )


def _growth(lines: Sequence[Line], course: Course) -> Iterator[Finding]:
    """A loss, less CLUB, far above where it began, and terms that grow tenfold to a good part of the loss."""
    totals = values_of(lines, "loss").get("total", [])
    if len(totals) < 6:
        return
    weighted = _weighted(lines, course)
    for name, values in weighted.items():
        # a bound of CLUB rises as its critic learns, also where nothing else goes wrong
        if name.split("/")[0] == "club" and len(values) == len(totals):
            totals = [total - value for total, value in zip(totals, values, strict=True)]
    start, now = fmean(totals[:3]), fmean(totals[-3:])
    if abs(now) > DIVERGED * abs(start):
        yield Finding(
            kind="diverging",
            bad=True,
            what=f"the loss was {start:.3g} at first and is {now:.3g}",
            fix="a smaller optimizer.lr, a longer optimizer.warmup_steps, or a smaller weight of the term "
            "that grew",
        )
    scale = sum(abs(fmean(values[-3:])) for values in weighted.values())
    for name, values in weighted.items():
        if len(values) < 6 or name.startswith("club"):  # its critics start without knowledge: it must grow
            continue
        low, last = min(_smooth(values)), fmean(values[-3:])
        if last > GROWTH * max(low, 0.0) and last > MATERIAL * scale:
            yield Finding(
                kind="growing-term",
                bad=False,
                what=f"{name} has grown from {low:.3g} to {last:.3g}, {100 * last / scale:.0f} % of the "
                "weighted loss",
                fix=f"a smaller weight of it under loss_weights (now {course.weight_of(name):g}), or a "
                "smaller optimizer.lr",
            )
            return


def _smooth(values: Sequence[float]) -> list[float]:
    """Means of three neighbours."""
    return [fmean(values[i : i + 3]) for i in range(len(values) - 2)]
