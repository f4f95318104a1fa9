"""Results in the layout of the papers: what stands where, and what is refused."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_run import evaluation

from benchmarks.sweep.paper_rows import paper_tables, read_sources
from benchmarks.sweep.paper_tables import as_latex, as_markdown, print_tables
from unicode_cmg.console import run_command
from unicode_cmg.errors import InputError

TASKS = ("ave", "avvp", "ave-avvp", "ucf-vgg")


def result(
    task: str, means: tuple[float, float], *, model: str = "a", method: str = "dcid", **changes: Any
) -> dict[str, Any]:
    """A result with these means for V->A and A->V."""
    made = evaluation(np.random.default_rng(0)) | {"task": task} | changes
    rows = {(row["source"], row["target"]): row for row in made["directions"]}
    for pair, mean in zip((("video", "audio"), ("audio", "video")), means, strict=True):
        metric = "accuracy" if task in ("ave", "ucf-vgg") else changes.get("metric", "f1_micro")
        rows[pair] |= {"mean": mean, "std": 0.55, "metric": metric}
    made["directions"] = [rows["video", "audio"], rows["audio", "video"], rows["audio", "audio"]]
    made["checkpoint"] |= {"method": method, "fingerprint": model * 64}
    made["data"] |= {"fingerprint": task}
    made.pop("metric", None)
    return made


def write(folder: Path, name: str, value: dict[str, Any]) -> str:
    file = folder / f"{name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value))
    return str(file)


@pytest.fixture
def dcid(tmp_path: Path) -> Path:
    """A run with a result of each task, and a control."""
    for number, task in enumerate(TASKS):
        write(tmp_path / "dcid" / "evaluation", task, result(task, (50.0 + number, 60.0 + number)))
    control = result("ave", (1.0, 2.0), permute_codes_seed=0)
    write(tmp_path / "dcid" / "evaluation", "ave-shuffled", control)
    return tmp_path / "dcid"


def cells(text: str) -> list[list[str]]:
    return [[c.strip() for c in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]


def test_a_run_is_a_row_in_the_columns_of_the_papers(dcid: Path) -> None:
    (table,) = paper_tables(read_sources([str(dcid)]))
    header, _, row = cells(as_markdown(table))
    assert header == [
        "method",
        *("AVE V→A", "AVE A→V", "AVVP V→A", "AVVP A→V", "AVE→AVVP V→A", "AVE→AVVP A→V"),
        *("UCF(v)↔VGG(a) V→A", "UCF(v)↔VGG(a) A→V", "Avg."),
    ]
    numbers = (50, 60, 51, 61, 52, 62, 53, 63)
    assert row == ["DCID", *(f"{n}.0 ± 0.6" for n in numbers), f"{np.mean(numbers):.1f}"]
    assert "protocol held-out" in table.caption
    assert "accuracy on AVE, UCF(v)↔VGG(a); F1 micro on AVVP, AVE→AVVP" in table.caption
    assert "over the seeds of the heads" in table.caption


def test_methods_compete_and_checkpoints_of_one_method_are_averaged(tmp_path: Path) -> None:
    toc = evaluation(np.random.default_rng(0), kept=16)["toc"]
    files = [
        write(tmp_path, "a", result("ave", (40.0, 70.04))),
        write(tmp_path, "b", result("ave", (44.0, 70.04), model="b")),
        write(tmp_path, "c", result("ave", (60.0, 70.0), model="c", method="fcid")),
        write(tmp_path, "d", result("ave", (59.0, 1.0), model="c", method="fcid", toc=toc)),
        f"H-DCID=mine={write(tmp_path, 'e=1', result('avvp', (9.0, 9.0), model='e', method='hdcid'))}"[7:],
    ]
    (table,) = paper_tables(read_sources(files))
    body = cells(as_markdown(table))[2:]
    spread = np.std([40, 44], ddof=1)
    assert body == [
        ["DCID", f"42.0 ± {spread:.1f}", "**70.0** ± 0.0", "-", "-", "-"],
        ["FCID", "**60.0** ± 0.6", "**70.0** ± 0.6", "-", "-", "-"],
        ["FCID + TOC", "59.0 ± 0.6", "1.0 ± 0.6", "-", "-", "-"],
        ["mine", "-", "-", "**9.0** ± 0.6", "**9.0** ± 0.6", "-"],
    ]
    assert "checkpoints, each the mean of its heads, and over heads where" in table.caption


def test_printed_rows_are_set_apart(dcid: Path) -> None:
    (table,) = paper_tables(read_sources([str(dcid)]), printed=True)
    ours, printed = as_markdown(table).split("PRINTED, on other data (table 1 of the FCID paper")
    assert "CMCM" not in ours
    rows = {row[0]: row[1:] for row in cells(printed)[2:]}
    assert rows["DCID"] == ["54.1", "55.0", "40.4", "40.8", "53.0", "52.4", "67.1", "60.6", "52.9"]
    assert "**" not in printed


def test_precision_on_avvp_is_put_beside_the_paper_that_prints_it(tmp_path: Path) -> None:
    leaks = ["P10: a.", "P3: b."]
    file = write(tmp_path, "x", result("avvp", (1.0, 2.0), metric="precision", protocol="paper", leaks=leaks))
    (table,) = paper_tables(read_sources([file]), printed=True)
    assert table.printed_in.startswith("table 1 of the TOC paper")
    assert {row.name: [c.mean for c in row.cells if c] for row in table.printed}["H-DCID"] == [74.1, 88.0]
    assert all(row.average is None for row in table.printed)
    assert table.caption.endswith("known leaks: P3, P10.")


def test_a_protocol_of_one_task_takes_the_others_from_its_kind(tmp_path: Path) -> None:
    files = [
        write(tmp_path, "1", result("ave", (1.0, 2.0), protocol="paper")),
        write(tmp_path, "2", result("avvp", (3.0, 4.0), metric="precision", protocol="paper")),
        write(tmp_path, "3", result("avvp", (5.0, 6.0), metric="f1", protocol="paper-f1")),
    ]
    precision, f1 = paper_tables(read_sources(files))
    assert [c.mean for c in precision.rows[0].cells if c] == [1.0, 2.0, 3.0, 4.0]
    assert [c.mean for c in f1.rows[0].cells if c] == [1.0, 2.0, 5.0, 6.0]
    assert "protocol paper-f1 (AVE: paper)" in f1.caption


def test_latex_is_balanced_and_escaped(dcid: Path, tmp_path: Path) -> None:
    other = write(tmp_path, "o", result("ave", (1.0, 2.0), model="o"))
    (table,) = paper_tables(read_sources([str(dcid), f"50% of A&B_2 #1={other}"]), printed=True)
    text = as_latex(table)
    assert r"50\% of A\&B\_2 \#1 & 1.0" in text
    assert not re.search(r"[→↔±]", text)
    bare = re.sub(r"\\[{}]", "", text)
    assert bare.count("{") == bare.count("}")
    opened, closed = (re.findall(rf"\\{word}{{(\w+)}}", text) for word in ("begin", "end"))
    assert opened == closed[::-1] == ["table", "tabular"]
    assert text.count("$") % 2 == 0
    columns = len(re.findall(r"\\begin{tabular}{(\w+)}", text)[0])
    body = text[text.index("Method") : text.index(r"\bottomrule")]
    for line in (line for line in body.splitlines() if line.endswith(r"\\") and "multicolumn" not in line):
        assert len(re.findall(r"(?<!\\)&", line)) == columns - 1
    assert r"\textbf{50.0}" in text
    assert r"\cmidrule(lr){2-3} \cmidrule(lr){4-5}" in text


def test_the_same_checkpoint_twice_in_a_cell_is_refused(dcid: Path, tmp_path: Path) -> None:
    again = write(tmp_path, "again", result("ave", (1.0, 2.0)))
    with pytest.raises(InputError, match="two results of one checkpoint for task ave in row DCID"):
        paper_tables(read_sources([str(dcid), again]))
    (table,) = paper_tables(read_sources([str(dcid), f"other={again}"]))
    assert [row.name for row in table.rows] == ["DCID", "other"]


def test_a_column_of_different_data_is_refused(tmp_path: Path) -> None:
    one = result("ave", (1.0, 2.0))
    two = result("ave", (1.0, 2.0), model="b", method="fcid")
    two["data"] |= {"fingerprint": "other"}
    with pytest.raises(InputError, match="different data"):
        paper_tables(read_sources([write(tmp_path, "1", one), write(tmp_path, "2", two)]))


def test_nothing_to_show_is_said(tmp_path: Path) -> None:
    control = write(tmp_path, "c", result("ave", (1.0, 2.0), permute_codes_seed=0))
    with pytest.raises(InputError, match="no result for this table"):
        paper_tables(read_sources([control]))
    with pytest.raises(InputError, match="no evaluation in this folder"):
        read_sources([str(tmp_path)])


def test_the_command_prints_or_says_what_is_wrong(
    dcid: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, code, begins in (
        ([str(dcid)], 0, "In percent"),
        ([str(dcid), "--latex"], 0, r"\begin{table}"),
        (["missing.json"], 2, "error: missing.json: no such file"),
    ):
        monkeypatch.setattr(sys, "argv", ["paper_table", *arguments])
        with pytest.raises(SystemExit) as stopped:
            run_command(print_tables)
        assert (stopped.value.code or 0) == code
        printed = capsys.readouterr()
        assert (printed.err if code else printed.out).startswith(begins)
