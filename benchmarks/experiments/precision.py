"""Whether trained models choose the same codes in bfloat16 as in float32.

usage: python -m benchmarks.experiments.precision RUN... --features STORE

Every clip of a feature store is encoded twice: in float32, and with the networks in bfloat16
(`torch.autocast`, as in training with `training.precision: bf16`). The table has the percent of valid steps
that get the same code, for each modality and code layer.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer
from jaxtyping import Int64
from torch import Tensor

from benchmarks.markdown import markdown_table
from unicode_cmg import FeatureStore, load_pretrained
from unicode_cmg.console import run_command
from unicode_cmg.encoding import iterate_codes
from unicode_cmg.model import Model


def _codes(model: Model, store: FeatureStore, *, half: bool) -> dict[str, Int64[Tensor, "steps layers"]]:
    """Codes of all valid steps of all clips, in float32 or with the networks in bfloat16."""
    device = next(model.parameters()).device.type
    found: dict[str, list[Tensor]] = {}
    with torch.autocast(device, torch.bfloat16, enabled=half):
        for batch in iterate_codes(model, store):
            for m, encoding in batch.encodings.items():
                found.setdefault(m, []).append(encoding.indices[batch.masks[m]].cpu())
    return {m: torch.cat(parts) for m, parts in found.items()}


def same_codes(model: Model, store: FeatureStore) -> dict[tuple[str, str], float]:
    """Modality and code layer -> percent of the steps whose code is the same in bfloat16."""
    whole, half = (_codes(model, store, half=half) for half in (False, True))
    return {
        (m, layer): 100 * float((whole[m][:, k] == half[m][:, k]).double().mean())
        for m in whole
        for k, layer in enumerate(model.code_layers())
    }


def main(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, or folders of models.")],
    features: Annotated[Path, typer.Option(help="Feature store to encode, best of clips not trained on.")],
) -> None:
    """Print how many steps of each modality get the same code in bfloat16 as in float32."""
    store = FeatureStore.open(features)
    rows = []
    for run in runs:
        for (modality, layer), percent in same_codes(load_pretrained(run), store).items():
            rows.append([str(run), modality, layer, f"{percent:.2f}"])
    print(markdown_table(["run", "modality", "code layer", "same code in bfloat16, %"], rows))


if __name__ == "__main__":
    run_command(main)
