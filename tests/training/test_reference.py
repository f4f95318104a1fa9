"""The page that lists every setting is the one the code writes."""

from __future__ import annotations

from pathlib import Path

from unicode_cmg.training.reference import reference


def test_the_configuration_page_is_up_to_date() -> None:
    page = Path(__file__).parents[2] / "docs" / "configuration.md"
    assert page.read_text(encoding="utf-8") == reference(), (
        "python -m unicode_cmg.training.reference > docs/configuration.md"
    )
