"""Files of media, decoded: sound, frames of videos, pictures and texts."""

from __future__ import annotations

from unicode_cmg.extract.decoding.file import Location, Page
from unicode_cmg.extract.decoding.picture import read_picture
from unicode_cmg.extract.decoding.sound import read_sound, sound_seconds
from unicode_cmg.extract.decoding.text import read_sentences
from unicode_cmg.extract.decoding.video import read_frames, video_seconds

__all__ = [
    "Location",
    "Page",
    "read_frames",
    "read_picture",
    "read_sentences",
    "read_sound",
    "sound_seconds",
    "video_seconds",
]
