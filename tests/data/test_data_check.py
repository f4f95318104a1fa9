from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_sets
from tiny_sets import append, edit, one, told

from unicode_cmg.data.check import available_checks, check_data
from unicode_cmg.data.layouts import (
    read_ave,
    read_ave_avvp,
    read_avvp,
    read_ucf_vgg,
)
from unicode_cmg.errors import InputError

READERS: dict[str, Callable[[Path], Any]] = {
    "ave": lambda root: read_ave(root / "AVE"),
    "avvp": lambda root: read_avvp(root / "AVVP"),
    "ave-avvp": read_ave_avvp,
    "ucf-vgg": read_ucf_vgg,
}
WRITERS = {
    "ave": tiny_sets.ave,
    "avvp": tiny_sets.avvp,
    "ave-avvp": tiny_sets.ave_avvp,
    "ucf-vgg": tiny_sets.ucf_vgg,
}


@pytest.mark.parametrize("task", ["ave", "avvp", "ave-avvp", "ucf-vgg", "clotho", "flickr-sound"])
def test_the_digits_have_no_problem(digits_root: Path, task: str) -> None:
    findings = check_data(task, digits_root)
    assert told(findings, "problem") == []
    assert findings.usable
    assert any("another extractor" in line for line in told(findings, "note"))


@pytest.mark.parametrize("task", available_checks())
def test_an_empty_folder_is_told_what_is_missing_and_the_reader_refuses_it_too(
    tmp_path: Path, task: str
) -> None:
    findings = check_data(task, tmp_path)
    assert not findings.usable
    assert any("no such file" in line for line in told(findings, "problem"))
    reader = READERS.get(task)
    if reader is not None:
        with pytest.raises(InputError):
            reader(tmp_path)


@pytest.mark.parametrize("task", WRITERS)
def test_a_tiny_set_is_fine(tmp_path: Path, task: str) -> None:
    WRITERS[task](tmp_path)
    findings = check_data(task, tmp_path)
    assert told(findings, "problem") == []
    READERS[task](tmp_path)


def test_a_task_or_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown task 'avep'; expected one of ave, avvp"):
        check_data("avep", tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        check_data("ave", tmp_path / "nowhere")


def test_the_check_goes_on_after_a_problem(tmp_path: Path) -> None:
    folder = tiny_sets.ave(tmp_path)
    (folder / "labels.h5").unlink()
    (folder / "val_order.h5").write_bytes(b"")
    append(folder / "Annotations.txt", "Dog&x&good&7&3")
    edit(folder / "audio_feature.h5", lambda x: x[2].fill(np.nan))
    problems = told(check_data("ave", tmp_path), "problem")
    one(problems, "labels.h5: no such file")
    one(problems, "val_order.h5: not a readable HDF5 file")
    one(problems, "Annotations.txt: annotation 7: an event from 7 to 3")
    one(problems, "visual_feature.h5: the array is [6, 10, 2, 2, 3]; expected [7, 10, ...]")
    one(problems, "audio_feature.h5")


def test_a_report_is_json_and_text(tmp_path: Path) -> None:
    tiny_sets.ave(tmp_path)
    (tmp_path / "AVE/data/test_order.h5").unlink()
    findings = check_data("ave", tmp_path)
    values = findings.to_json()
    assert (values["task"], values["usable"], values["counts"]["problem"]) == ("ave", False, 1)
    assert values["entries"][-1] == {
        "level": "note",
        "where": "AVE/data/audio_feature.h5",
        "what": values["entries"][-1]["what"],
    }
    text = findings.text().splitlines()
    assert text[0] == f"ave in {tmp_path}"
    assert "problem  AVE/data/test_order.h5: no such file; check the data root" in text
    assert text[-1] == f"1 problem, {values['counts']['note']} notes: this data cannot be used as it is"
