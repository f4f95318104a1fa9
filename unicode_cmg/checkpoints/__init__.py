"""Checkpoints: folders of `config.json` and `model.safetensors`, and the released layouts."""

from unicode_cmg.checkpoints.convert import Conversion, convert
from unicode_cmg.checkpoints.folders import checkpoint_folders, newest_checkpoint
from unicode_cmg.checkpoints.native import FORMAT_VERSION, best_device, load_pretrained, save_pretrained
from unicode_cmg.checkpoints.released.load import load_published

__all__ = [
    "FORMAT_VERSION",
    "Conversion",
    "best_device",
    "checkpoint_folders",
    "convert",
    "load_pretrained",
    "load_published",
    "newest_checkpoint",
    "save_pretrained",
]
