"""Which model it was: a hash of everything it learned."""

from __future__ import annotations

import hashlib

import torch
from torch import nn


def state_fingerprint(model: nn.Module) -> str:
    """SHA-256 over names, types, shapes and bytes of all parameters and buffers, ordered by name."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(f"{name}:{value.dtype}:{tuple(value.shape)};".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
