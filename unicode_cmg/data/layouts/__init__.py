"""Readers and writers of the published on-disk layouts."""

from __future__ import annotations

from unicode_cmg.data.layouts.ave import AVEData, Annotation, read_ave, write_ave

__all__ = ["AVEData", "Annotation", "read_ave", "write_ave"]
