"""A sweep that says where the options of an axis stand becomes curves: by place, and against a base."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.sweep import Outcome, Row, SweepConfig
from benchmarks.sweep.config import PlotConfig
from benchmarks.sweep.figures import draw_curves
from benchmarks.sweep.rows import SavedRow, TrainedRow
from benchmarks.sweep.summary import Curve, Point, curves, transfer
from benchmarks.sweep.tables import curve_tables, save_outcomes
from unicode_cmg.errors import InputError

AXES = [{"none": {}, "extra": {}}, {"all": {"at": 100}, "few": {"at": 5}}]
PLOT = {"x": "share, %", "scale": "log", "against": "none", "chance": {"ave": 10}}


def sweep(**changes: object) -> SweepConfig:
    values = {"config": "x.yaml", "axes": AXES, "plot": PLOT, "tasks": ["ave", "avvp"]}
    return SweepConfig.parse({**values, **changes}, where="sweep.yaml")


def row(*options: str, read: tuple[str, ...] = ("",)) -> TrainedRow:
    return TrainedRow(", ".join(options), dict.fromkeys(read, ()), options, Path("x.yaml"), ())


def outcome(name: str, seed: int, there: int, back: int) -> Outcome:
    scores = {("video", "audio"): float(there), ("audio", "video"): float(back), ("video", "video"): 0.0}
    return Outcome(name, seed, 1.0, {"ave": scores, "avvp": scores})


ROWS: list[Row] = [row(a, b) for a in ("none", "extra") for b in ("all", "few")]
OUTCOMES = [
    *(outcome("none, all", 0, 80, 90), outcome("none, all", 1, 90, 100)),
    *(outcome("none, few", 0, 20, 40), outcome("none, few", 1, 60, 60)),
    *(outcome("extra, all", 1, 96, 96), outcome("extra, all", 0, 80, 92)),
    *(outcome("extra, few", 0, 40, 50), outcome("extra, few", 1, 60, 70)),
]


def drawn(rows: list[Row] = ROWS, outcomes: list[Outcome] = OUTCOMES) -> list[Curve]:
    layout = sweep().layout()
    assert layout is not None
    return curves(rows, outcomes, layout, "ave")


def test_a_curve_goes_by_place_and_is_compared_seed_by_seed() -> None:
    none, extra = drawn()
    assert (none.name, extra.name) == ("none", "extra")
    assert none.points == (Point("few", 5.0, (30.0, 60.0), ()), Point("all", 100.0, (85.0, 95.0), ()))
    assert extra.points == (
        *(Point("few", 5.0, (45.0, 65.0), (15.0, 5.0)), Point("all", 100.0, (96.0, 86.0), (1.0, 1.0))),
    )


def test_ways_to_read_the_codes_are_curves_of_their_own_and_compared_with_their_like() -> None:
    rows: list[Row] = [row(a, b, read=("first", "both")) for a in ("none", "extra") for b in ("all", "few")]
    names = {
        "none, few, first": 1.0,
        "none, few, both": 2.0,
        "extra, few, first": 4.0,
        "extra, few, both": 9.0,
    }
    names |= {name.replace("few", "all"): value for name, value in names.items()}
    found = drawn(rows, [outcome(name, 0, value, value) for name, value in names.items()])
    assert [curve.name for curve in found] == ["none, first", "none, both", "extra, first", "extra, both"]
    assert [point.gains for curve in found[2:] for point in curve.points] == [(3,), (3,), (7,), (7,)]


def test_models_that_are_there_are_on_no_curve() -> None:
    rows = [*ROWS, SavedRow("mine", {"": ()}, (Path("model"),))]
    assert drawn(rows, [*OUTCOMES, outcome("mine", 0, 1, 1)]) == drawn()


def test_a_seed_that_the_base_lacks_is_not_compared() -> None:
    _, extra = drawn(ROWS, [o for o in OUTCOMES if (o.row, o.seed) != ("none, few", 1)])
    assert extra.points[0] == Point("few", 5.0, (45.0, 65.0), (15.0,))


def test_the_transfer_is_between_modalities_if_there_are_two() -> None:
    assert transfer({("a", "b"): 10.0, ("b", "a"): 20.0, ("a", "a"): 90.0}) == 15
    assert transfer({("a", "a"): 90.0, ("b", "b"): 80.0}) == 85


def test_the_tables_show_means_and_deviations_by_place() -> None:
    assert curve_tables(drawn(), PlotConfig(**PLOT), "ave").splitlines() == [
        "ave, mean of the transfers, by share, %",
        "|  | few | all |",
        "| --- | --- | --- |",
        "| none | 45.0 ± 21.2 | 90.0 ± 7.1 |",
        "| extra | 55.0 ± 14.1 | 91.0 ± 7.1 |",
        "",
        "ave, points above none, seed by seed, by share, %",
        "|  | few | all |",
        "| --- | --- | --- |",
        "| extra | +10.0 ± 7.1 | +1.0 ± 0.0 |",
    ]


@pytest.mark.slow
def test_every_task_has_tables_and_a_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_outcomes(tmp_path, OUTCOMES, sweep(), ROWS)
    text = (tmp_path / "curves.md").read_text()
    assert text in capsys.readouterr().out
    assert "avvp, points above none" in text
    for task in ("ave", "avvp"):
        assert (tmp_path / f"curves-{task}.png").read_bytes()[:4] == b"\x89PNG"


def test_one_seed_at_one_place_can_be_drawn(tmp_path: Path) -> None:
    draw_curves(
        [Curve("none", (Point("few", 5.0, (30.0,), ()),))], PlotConfig(**PLOT), "ave", tmp_path / "one.png"
    )
    assert (tmp_path / "one.png").stat().st_size > 0


def test_a_sweep_without_a_plot_has_no_curves(tmp_path: Path) -> None:
    axes = [{"none": {}, "extra": {}}, {"all": {}, "few": {}}]
    save_outcomes(tmp_path, OUTCOMES, sweep(plot=None, axes=axes), ROWS)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["table.csv", "table.md"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"plot": None}, "options have an 'at', but there is no 'plot'"),
        ({"axes": [{"none": {}}]}, "0 axes have options with an 'at'"),
        ({"axes": [AXES[1], AXES[1]]}, "2 axes have options with an 'at'"),
        ({"axes": [AXES[0], {"all": {"at": 1}, "few": {}}]}, "the option 'few' has no 'at'"),
        ({"axes": [AXES[0], {"all": {"at": 1}, "no": {"at": 0}}]}, "'no' is at 0; expected above 0 on a log"),
        ({"axes": [AXES[0], {"all": {"at": 1}, "few": {"at": 1}}]}, "two options have the same 'at'"),
        (
            {"plot": {**PLOT, "against": "few"}},
            "'plot.against' is 'few'; expected an option of one other axis",
        ),
        ({"axes": [*AXES, {"none": {}}]}, "'plot.against' is 'none'; expected an option of one other axis"),
        ({"plot": {**PLOT, "chance": {"eva": 1}}}, "'plot.chance' has 'eva'; expected some of ave, avvp"),
        ({"plot": {**PLOT, "scale": "square"}}, "'plot.scale' is 'square'"),
    ],
)
def test_a_plot_that_does_not_fit_its_axes_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        sweep(**changes)
