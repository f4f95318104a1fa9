"""The quickstart from end to end, with a model so small that it learns nothing."""

from __future__ import annotations

import html
import json
import sys
from pathlib import Path

import pytest
from guide_pages import code_blocks
from places import ROOT

from benchmarks.quickstart import QuickstartResult, quickstart
from unicode_cmg.errors import InputError

pytestmark = pytest.mark.slow
SMALL = (
    *(
        "method.dim=8",
        "method.num_codes=12",
        "method.heads=2",
        "method.transformer_layers=1",
        "method.feedforward=16",
    ),
    *("method.pooling_dim=4", "data.limit=160", "training.epochs=1"),
)


def _stop_before_toc(line: str) -> None:
    if line.startswith("TOC"):
        raise KeyboardInterrupt


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> QuickstartResult:
    """A quickstart that was stopped after an epoch and called again with one more to go."""
    run = tmp_path_factory.mktemp("quickstart") / "run"
    with pytest.raises(KeyboardInterrupt):
        quickstart(run, settings=SMALL, say=_stop_before_toc)
    data = (run / "data" / "digits.json").stat().st_mtime_ns
    metrics = (run / "metrics.jsonl").read_text()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules[quickstart.__module__], "HEAD_SEEDS", (0,))
        result = quickstart(run, settings=(*SMALL, "training.epochs=2"), say=lambda line: None)
    assert (run / "data" / "digits.json").stat().st_mtime_ns == data
    assert (run / "metrics.jsonl").read_text().startswith(metrics)
    return result


def test_it_leaves_every_file_that_the_documentation_names(outcome: QuickstartResult) -> None:
    run = outcome.page.parent
    for name in (
        *("config.yaml", "metrics.jsonl", "model/model.safetensors", "results.json", "report.html"),
        *("toc/toc.json", "toc/codebook.npy", "toc/toc.png"),
        *("evaluation/ave.json", "evaluation/ave-toc.json"),
        *("codes/codes.json", "codes/codes.csv", "codes/codes.png"),
    ):
        assert (run / name).is_file(), name


def test_results_cover_every_direction_with_and_without_toc(outcome: QuickstartResult) -> None:
    for name in ("ave", "ave-toc", "ave-shuffled"):
        pairs = {(d["source"], d["target"]) for d in outcome.results["evaluations"][name]["directions"]}
        assert len(pairs) == 9
    assert "video -> audio" in outcome.table
    stages = [stage["name"] for stage in outcome.results["stages"]]
    assert stages == ["data", "pretraining", "TOC", "evaluation", "meaning of the codes"]


def test_the_page_shows_the_embedded_digits_and_the_call_that_made_it(outcome: QuickstartResult) -> None:
    page = html.unescape(outcome.page.read_text(encoding="utf-8"))
    assert "Unified codebook of the embedded digits" in page
    assert "data:image/png;base64," in page
    settings = [*SMALL, "training.epochs=2"]
    assert f"Made by <code>quickstart('{outcome.page.parent}', seed=0, settings={settings})" in page


def test_called_again_it_continues(outcome: QuickstartResult) -> None:
    steps = [
        json.loads(line)["step"] for line in (outcome.page.parent / "metrics.jsonl").read_text().splitlines()
    ]
    assert steps == sorted(steps)
    assert steps[-1] == outcome.results["training"]["step"] == 4


def test_the_python_example_of_the_readme_runs(
    outcome: QuickstartResult,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (example,) = code_blocks(readme, "python")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "quickstart").symlink_to(outcome.page.parent)
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "README.md", "exec"), {})
    out = capsys.readouterr().out
    assert out.startswith("torch.Size([4, 10, 1])\n")
    assert "video -> audio" in out


def test_another_seed_needs_another_folder(outcome: QuickstartResult) -> None:
    with pytest.raises(InputError, match="seed 0"):
        quickstart(outcome.page.parent, seed=1, settings=SMALL, say=lambda line: None)


def test_never_refuses_a_run_that_exists(outcome: QuickstartResult) -> None:
    before = outcome.page.read_bytes()
    with pytest.raises(InputError, match="already holds a run"):
        quickstart(outcome.page.parent, resume="never", settings=SMALL, say=lambda line: None)
    assert outcome.page.read_bytes() == before
