"""Some clips second by second: which events are there, and which the heads of each modality hear or see."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.report.classes import transfers_first
from benchmarks.report.svg import MUTED, css_colour, in_page_style, inline_svg, legend_of, series_colour
from unicode_cmg.results import DirectionResult, Event, SecondDetails, Timeline

_LANE, _NAME, _GAP = 0.3, 0.42, 0.18
_INCHES, _ABOVE, _BELOW = 0.3, 0.04, 0.3
_MOST_CLASSES = 8
_TRUE_COLOUR = f"color-mix(in srgb, {css_colour(MUTED)} 30%, transparent)"


class ClipPicture(NamedTuple):
    """One clip: its name, the picture, and how many classes that a head names found no place in it."""

    clip: str
    svg: Markup
    left_out: int


class TimelineView(NamedTuple):
    """The clips of one target modality; the legend has the lanes of every class, from top to bottom."""

    target: str
    clips: list[ClipPicture]
    legend: list[tuple[str, str]]


def timeline_views(
    directions: Sequence[DirectionResult], classes: Sequence[str], modalities: Sequence[str]
) -> list[TimelineView]:
    """A view for each target that has timelines; the heads of the target itself come last."""
    found: dict[str, dict[str, tuple[Timeline, ...]]] = {}
    for row in transfers_first(directions):
        if isinstance(row.details, SecondDetails) and row.details.timelines:
            found.setdefault(row.target, {})[row.source] = row.details.timelines
    views = []
    for target in (name for name in modalities if name in found):
        lanes = found[target]
        pictures = [
            _picture(dict(zip(lanes, clip, strict=True)), classes, modalities)
            for clip in zip(*lanes.values(), strict=True)
        ]
        legend = [("true events", _TRUE_COLOUR), *legend_of(lanes, modalities, "heads of ")]
        views.append(TimelineView(target, pictures, legend))
    return views


def shown_classes(lanes: Mapping[str, Timeline]) -> list[int]:
    """Classes that are there, by their first second, then those that are said, the longest first."""
    true = sorted(next(iter(lanes.values())).true, key=lambda event: event.start)
    seconds: Counter[int] = Counter()
    for event in (event for timeline in lanes.values() for event in timeline.said):
        seconds[event.event] += event.stop - event.start
    said = sorted(seconds, key=lambda number: (-seconds[number], number))
    return list(dict.fromkeys([*(event.event for event in true), *said]))


@in_page_style
def _picture(lanes: Mapping[str, Timeline], classes: Sequence[str], modalities: Sequence[str]) -> ClipPicture:
    """For each class its name, a band for every true event, and on it a lane for each source."""
    clip = next(iter(lanes.values()))
    numbers = shown_classes(lanes)
    shown = numbers[:_MOST_CLASSES]
    row = _NAME + _LANE * len(lanes) + _GAP
    inches = _INCHES * row * len(shown) + _ABOVE + _BELOW
    figure = Figure(figsize=(3.1, inches))
    axes = figure.subplots()
    figure.subplots_adjust(left=0.03, right=0.97, top=1 - _ABOVE / inches, bottom=_BELOW / inches)
    for place, number in enumerate(shown):
        top = place * row
        name = classes[number].replace("_", " ")
        axes.text(0, top + _NAME / 2, name, fontsize=7, color=MUTED, va="center")
        _bars(axes, clip.true, number, top + _NAME, _LANE * len(lanes), color=MUTED, alpha=0.3)
        for lane, (source, timeline) in enumerate(lanes.items()):
            middle, colour = top + _NAME + (lane + 0.2) * _LANE, series_colour(source, modalities)
            _bars(axes, timeline.said, number, middle, _LANE * 0.6, color=colour)
    axes.set_xlim(0, clip.seconds)
    axes.set_ylim(row * len(shown), 0)
    axes.set_xticks(range(0, clip.seconds + 1, 2))
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(visible=False, axis="y")
    axes.tick_params(length=0)
    said = "; ".join(f"heads of {source}: {_words(t.said, classes)}" for source, t in lanes.items())
    label = f"Clip {clip.clip}, true: {_words(clip.true, classes)}"
    svg = inline_svg(figure, label, f"{said}. Seconds start at 0.")
    return ClipPicture(clip.clip, svg, len(numbers) - len(shown))


def _bars(axes: Axes, events: Sequence[Event], number: int, top: float, height: float, **style: Any) -> None:
    """A bar for each of the events that is of class `number`."""
    for event in events:
        if event.event == number:
            width = event.stop - event.start
            axes.barh(top, width, height, event.start, align="edge", linewidth=0, **style)


def _words(events: Sequence[Event], classes: Sequence[str]) -> str:
    return ", ".join(f"{classes[e.event]} {e.start} to {e.stop}" for e in events) or "nothing"
