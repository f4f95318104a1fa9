"""Tables of results: every direction and measure, floors, intervals, and what the papers print."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from benchmarks import TaskResult
from unicode_cmg.errors import InputError
from unicode_cmg.results import Bootstrap

Results = Callable[..., TaskResult]


def test_the_table_names_every_direction(result_of: Results) -> None:
    result = result_of("ave")
    lines = result.table().splitlines()
    widths = {len(line) for line in lines if line.startswith("|")}
    assert len(widths) == 1
    for row in result.directions:
        assert any(f"{row.source} -> {row.target} " in line and f" {row.mean:.1f} " in line for line in lines)
    assert "| chance" in result.table()
    assert (result.directions[0].source, result.directions[0].target) == ("video", "audio")
    assert result.direction("video", "audio") == result.directions[0]
    with pytest.raises(KeyError):
        result.direction("video", "smell")


def test_the_table_shows_every_measure_and_the_constant_answer(result_of: Results) -> None:
    result = result_of("avvp")
    header, _, row, *_ = [line for line in result.table().splitlines() if line.startswith("|")]
    assert [cell.strip() for cell in header.split("|")[1:-1]] == [
        *("direction", "f1 micro %", "std", "95 % interval", "f1 macro %", "precision micro %"),
        *("recall micro %", "f1 segment %", "f1 event %", "shuffled", "constant %", "kind"),
    ]
    assert f" {result.directions[0].constant:.1f} " in row
    assert len(row) == len(header)


def test_held_out_results_have_intervals_and_paper_results_none(result_of: Results) -> None:
    clean, leaky = result_of("ave"), result_of("ave", "paper")
    row = clean.directions[0]
    assert row.interval is not None
    assert row.interval[0] <= row.mean <= row.interval[1]
    assert clean.bootstrap == Bootstrap()
    assert (leaky.directions[0].interval, leaky.bootstrap) == (None, None)
    assert f"{row.interval[0]:.1f} to {row.interval[1]:.1f}" in clean.table()


def as_method(result: TaskResult, method: str) -> TaskResult:
    return result.model_copy(update={"checkpoint": result.checkpoint.model_copy(update={"method": method})})


def test_printed_numbers_stand_in_the_table_when_asked_for(result_of: Results) -> None:
    result = result_of("ave")
    assert "54.1" not in as_method(result, "dcid").table()
    lines = as_method(result, "dcid").table(printed=True).splitlines()
    header, _, *rows = [line.split("|") for line in lines if line.startswith("|")]
    column = [cell.strip() for cell in header].index("printed")
    shown = {row[1].strip(): row[column].strip() for row in rows}
    assert (shown["video -> audio"], shown["text -> video"]) == ("54.1", "-")
    assert lines[-1].startswith("PRINTED, on other data: table 1 of the FCID paper, row DCID; table 2 of")
    assert result.table(printed=True).endswith("PRINTED, on other data: nothing to compare with")


def test_a_mean_of_both_directions_is_called_one(result_of: Results) -> None:
    result = as_method(result_of("retrieval-clotho"), "fcid")
    text = result.table(printed=True)
    assert text.count("18.19") == 2
    assert text.endswith("table 10 of the FCID paper, row FCID, mean of both directions")


def test_the_joint_measures_have_a_table_of_their_own(result_of: Results) -> None:
    result = result_of("avvp")
    text = result.table()
    for joint in result.joint:
        assert f"heads of {joint.source}, audio and video of {joint.clips} clips" in text
    line = next(line for line in text.splitlines() if line.startswith("| events"))
    values = [measure.mean for name, measure in result.joint[0].measures.items() if name.startswith("event ")]
    assert [cell.strip() for cell in line.split("|")[2:-1]] == [f"{value:.1f}" for value in values]


def test_a_data_frame_has_a_row_for_each_direction_and_measure(result_of: Results) -> None:
    result = result_of("avvp")
    frame = result.to_pandas()
    measures = 1 + len(result.directions[0].others)
    assert len(frame) == measures * len(result.directions)
    first = result.directions[0]
    found = frame[(frame.source == first.source) & (frame.target == first.target)].set_index("measure")
    assert found["mean"].to_dict() == {
        first.metric: first.mean,
        **{name: measure.mean for name, measure in first.others.items()},
    }
    main = found.loc[first.metric]
    assert (main["low"], main["high"]) == first.interval
    assert main["shuffled"] == first.shuffled.mean
    assert found["shuffled"].notna().sum() == 1
    assert set(frame["task"]) == {"avvp"}


def test_without_pandas_one_line_says_so(result_of: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(InputError, match="to_pandas: pandas is not installed; pip install pandas"):
        result_of("ave").to_pandas()


def test_a_result_is_short_in_a_cell_a_table_in_print_and_a_table_of_html_in_a_notebook(
    result_of: Results,
) -> None:
    result = result_of("ave")
    assert repr(result).startswith("TaskResult(ave, held-out; accuracy %: video -> audio ")
    assert "\n" not in repr(result)
    assert len(repr(result)) < 300
    assert str(result) == result.table()
    page = result._repr_html_()
    assert page.count("<tr>") == 1 + len(result.directions) + 2  # header, directions, chance and majority
    assert "<td>video -&gt; audio</td>" in page
    classes = result.model_copy(update={"task": "<script>"})
    assert "<script>" not in classes._repr_html_()


def test_a_damaged_result_is_refused() -> None:
    with pytest.raises(InputError, match="missing"):
        TaskResult.from_json({})
