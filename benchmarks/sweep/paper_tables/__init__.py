"""Results of many evaluations in the layout of the papers: a row a method, V->A and A->V of four tasks."""

from __future__ import annotations

from benchmarks.sweep.paper_tables.build import PaperTable, paper_tables
from benchmarks.sweep.paper_tables.formats import as_latex, as_markdown
from benchmarks.sweep.paper_tables.sources import Source, read_sources

__all__ = ["PaperTable", "Source", "as_latex", "as_markdown", "paper_tables", "read_sources"]
