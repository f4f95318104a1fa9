"""Readers and writers of the published on-disk layouts."""

from __future__ import annotations

from unicode_cmg.data.layouts.ave import AVEData, read_ave
from unicode_cmg.data.layouts.ave_avvp import AVEAVVPData, read_ave_avvp
from unicode_cmg.data.layouts.avvp import EventClips, read_avvp
from unicode_cmg.data.layouts.ucf_vgg import UCFVGGData, read_ucf_vgg
from unicode_cmg.data.layouts.zips import read_clip, write_clip

__all__ = [
    "AVEAVVPData",
    "AVEData",
    "EventClips",
    "UCFVGGData",
    "read_ave",
    "read_ave_avvp",
    "read_avvp",
    "read_clip",
    "read_ucf_vgg",
    "write_clip",
]
