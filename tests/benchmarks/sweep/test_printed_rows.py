"""Every row of the papers about our methods is in a shipped sweep, or its table is listed as missing."""

from __future__ import annotations

import pytest
from places import ROOT

from benchmarks.printed_numbers import printed_numbers
from benchmarks.sweep import load_sweep
from benchmarks.tasks import available_protocols

CLUB = ("none", "A", "V", "AV", "TE", "A and V", "AV and TE", "all")
OTHERS = ("CODIS", "TURN", "CMCM", "SimMMDG", "S-Mit", "MST", "SST", "AVS")
"""Methods of others, alone or with ours: this library has none of them."""

SWEEPS = {
    ("FCID", "1"): (
        "toc",
        {"DCID": "DCID", "FCID": "FCID", "DCID+TOC": "DCID, TOC", "FCID+TOC": "FCID, TOC"},
    ),
    ("FCID", "5"): (
        "losses",
        {
            "all losses": "all terms, TOC",
            "without L_club": "no CLUB, TOC",
            "without L_recon": "no reconstruction, TOC",
            "without L_commit": "no commitment, TOC",
        },
    ),
    ("FCID", "6"): (
        "toc",
        {
            "neither": "FCID",
            "S": "FCID, similarity only",
            "R": "FCID, variance only",
            "S and R": "FCID, TOC",
        },
    ),
    ("FCID", "7"): ("club", {row: row for row in CLUB}),
    ("FCID", "9"): (
        "codebook-size",
        {n: f"FCID, {n} codes" for n in ("256", "300", "400", "512", "800", "1024")},
    ),
    ("FCID", "11"): ("club", {row: row for row in CLUB}),
    ("TOC", "1"): (
        "toc",
        {
            "DCID": "DCID",
            "DCID+TOC": "DCID, TOC",
            "H-DCID, layer 1": "H-DCID, code layer 1",
            "H-DCID": "H-DCID, both code layers",
            "H-DCID+TOC": "H-DCID, both code layers, TOC",
        },
    ),
    ("TOC", "2"): (
        "quantizers",
        {
            "DCID, VQ": "DCID, mm_ema",
            "DCID, FSQ": "DCID, fsq",
            "DCID, RVQ of 4": "DCID, rvq-4",
            "H-DCID, VQ": "H-DCID, mm_ema, both code layers",
            **{f"H-DCID, RVQ of {n}": f"H-DCID, rvq-{n}, both code layers" for n in (2, 3, 4)},
        },
    ),
    ("TOC", "3"): ("audio-video", {"DCID, full modal": "DCID", "H-DCID, full modal": "H-DCID"}),
    ("TOC", "5"): (
        "toc",
        {
            "neither": "DCID",
            "similarity": "DCID, similarity only",
            "variance": "DCID, variance only",
            "similarity and variance": "DCID, TOC",
        },
    ),
}

MISSING = {
    ("FCID", "2"): "retrieval: `evaluate --task retrieval-coco` and so on, for one model at a time",
    ("FCID", "10"): "retrieval in detail, likewise",
    ("TOC", "4"): "segmentation of AVSBench-S4, a task that this library does not have",
}


def rows_of(sweep: str) -> set[str]:
    """Names of the rows of a sweep, with and without each refinement."""
    config, rows = load_sweep(ROOT / "configs" / "sweeps" / f"{sweep}.yaml")
    labels = {row.label(read) for row in rows for read in row.read}
    return labels | {f"{label}, {name}" for label in labels for name in config.refine}


def test_every_printed_table_is_in_a_sweep_or_listed_as_missing() -> None:
    tables = {(number.paper, number.table) for number in printed_numbers()}
    assert tables == set(SWEEPS) | set(MISSING)
    assert not set(SWEEPS) & set(MISSING)


@pytest.mark.parametrize(("paper", "table"), SWEEPS)
def test_every_row_about_our_methods_has_a_row_in_its_sweep(paper: str, table: str) -> None:
    sweep, rows = SWEEPS[paper, table]
    printed = {n.row for n in printed_numbers() if (n.paper, n.table) == (paper, table)}
    assert {row for row in printed if not any(name in row for name in OTHERS)} == set(rows)
    assert set(rows.values()) <= rows_of(sweep)


@pytest.mark.parametrize(("paper", "table"), SWEEPS)
def test_a_sweep_has_the_tasks_and_directions_of_its_table(paper: str, table: str) -> None:
    config, _ = load_sweep(ROOT / "configs" / "sweeps" / f"{SWEEPS[paper, table][0]}.yaml")
    numbers = [n for n in printed_numbers() if (n.paper, n.table) == (paper, table) and n.direction]
    assert {n.task for n in numbers} <= set(config.tasks)
    assert config.directions is not None
    assert {n.direction for n in numbers} <= set(config.directions)
    if config.protocol != "held-out":
        assert config.protocol == ("paper-f1" if paper == "FCID" else "paper")
        assert config.protocol in available_protocols("avvp")
