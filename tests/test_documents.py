"""Every document can be reached from the site's menu, and every link in it leads to a file that exists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from places import DOCS, ROOT

PAGES = sorted(DOCS.rglob("*.md"))
DOCUMENTS = [*PAGES, *ROOT.glob("*.md"), *(ROOT / "examples").rglob("*.md")]


def _entries(nav: Any) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    values = nav if isinstance(nav, list) else nav.values()
    return [entry for value in values for entry in _entries(value)]


def test_the_menu_of_the_site_lists_every_page_once() -> None:
    menu = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    assert sorted(_entries(menu)) == [page.relative_to(DOCS).as_posix() for page in PAGES]


@pytest.mark.parametrize("document", DOCUMENTS, ids=[path.relative_to(ROOT).as_posix() for path in DOCUMENTS])
def test_links_lead_to_files_and_headings_that_exist(document: Path) -> None:
    broken = []
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(#[^)\s]*)?\)", _prose(document)):
        file = document if not target else document.parent / target
        if not file.exists() or (anchor and anchor[1:] not in _anchors(file)):
            broken.append(target + anchor)
    assert not broken


@pytest.mark.parametrize("page", PAGES, ids=[path.relative_to(DOCS).as_posix() for path in PAGES])
def test_pages_of_the_site_link_only_to_pages_of_the_site(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#\s]+)", _prose(page))
    assert [t for t in targets if not (page.parent / t).resolve().is_relative_to(DOCS)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=[path.relative_to(ROOT).as_posix() for path in DOCUMENTS])
def test_source_files_that_a_document_names_exist(document: Path) -> None:
    named = re.findall(
        r"`((?:benchmarks|configs|examples|tests|toc|unicode_cmg)/[\w/.-]+\.(?:py|yaml))`",
        document.read_text(encoding="utf-8"),
    )
    assert [name for name in named if not (ROOT / name).is_file() and "NAME" not in name] == []


def _prose(document: Path) -> str:
    """A document less its blocks of code, where `f[m](x)` is a call and no link."""
    text = document.read_text(encoding="utf-8")
    return re.sub(r"^( *)(```|~~~).*?^\1\2 *$", "", text, flags=re.MULTILINE | re.DOTALL)


def _anchors(page: Path) -> set[str]:
    """Anchors of the headings of a page, as sites and code hosts make them."""
    headings = re.findall(r"^#+ +(.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
