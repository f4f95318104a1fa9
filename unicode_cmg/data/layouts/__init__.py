"""Readers and writers of the published on-disk layouts."""

from __future__ import annotations

from unicode_cmg.data.layouts.ave import AVEData, read_ave
from unicode_cmg.data.layouts.ave_avvp import AVEAVVPData, read_ave_avvp
from unicode_cmg.data.layouts.avvp import EventClips, read_avvp
from unicode_cmg.data.layouts.retrieval import (
    RetrievalData,
    read_retrieval,
    write_caption_words,
    write_retrieval,
)
from unicode_cmg.data.layouts.ucf_vgg import UCFVGGData, read_ucf_vgg
from unicode_cmg.data.layouts.vggsound_avel import AVELData, read_vggsound_avel
from unicode_cmg.data.layouts.zips import PaddedClips, read_clip, write_clip

__all__ = [
    "AVEAVVPData",
    "AVEData",
    "AVELData",
    "EventClips",
    "PaddedClips",
    "RetrievalData",
    "UCFVGGData",
    "read_ave",
    "read_ave_avvp",
    "read_avvp",
    "read_clip",
    "read_retrieval",
    "read_ucf_vgg",
    "read_vggsound_avel",
    "write_caption_words",
    "write_clip",
    "write_retrieval",
]
