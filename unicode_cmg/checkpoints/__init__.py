"""Native checkpoints: folders of `config.json` and `model.safetensors`, read without unpickling anything."""

from unicode_cmg.checkpoints.folders import checkpoint_folders, newest_checkpoint
from unicode_cmg.checkpoints.native import FORMAT_VERSION, load_pretrained, save_pretrained

__all__ = ["FORMAT_VERSION", "checkpoint_folders", "load_pretrained", "newest_checkpoint", "save_pretrained"]
