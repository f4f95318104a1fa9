"""The report in a real browser, on a telephone and on a desk; and that the check itself notices bad pages."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser import CHROMIUM, look_at

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium; Debian's package is 'chromium'"),
]


@pytest.mark.slow
@pytest.mark.parametrize("width", [420, 1300])
def test_the_report_looks_right(full_run: Path, tmp_path: Path, width: int) -> None:
    page = (full_run / "report.html").read_text(encoding="utf-8")
    pictures, problems = look_at(page, width, tmp_path)
    assert problems == []
    assert pictures == page.count("<img ") + page.count("<image ")
    assert page.count("<img ") >= 20


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("<table><td style='min-width: 600px'>too wide</td></table>", "sticks out: <TABLE>"),
        (
            "<div style='overflow: auto'><p style='width: 600px'>a</p></div>",
            "scrolls and does not show it",
        ),
        ("<img src='data:image/png;base64,AAAA'>", "does not load: <IMG>"),
        ("<script>no_such_function()</script>", "no_such_function is not defined"),
    ],
)
def test_the_check_notices_a_bad_page(tmp_path: Path, body: str, problem: str) -> None:
    head = "<!doctype html><meta name='viewport' content='width=device-width'>"
    _, problems = look_at(f"{head}<body>{body}</body>", 420, tmp_path)
    assert any(problem in line for line in problems)
