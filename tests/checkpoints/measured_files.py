"""Results of evaluations, as the commands write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from unicode_cmg import Method
from unicode_cmg.checkpoints.tensors import state_fingerprint


def evaluation(model: Method[Any], **changes: Any) -> dict[str, Any]:
    """What `evaluate` writes, as far as a card reads it, and a little more."""
    rows = [("audio", "video", 71.25, 1.5), ("video", "audio", 68.0, None), ("audio", "audio", 90.0, 0.25)]
    return {
        "task": "ave",
        "protocol": "held-out",
        "leaks": [],
        "departures": [],
        "seeds": [0, 1, 2],
        "directions": [
            {
                "source": source,
                "target": target,
                "kind": "same-modality" if source == target else "transfer",
                "metric": "accuracy",
                "mean": mean,
                "std": std,
                "per_seed": [mean],
            }
            for source, target, mean, std in rows
        ],
        "permute_codes_seed": None,
        "toc": None,
        "checkpoint": {"method": "dcid", "fingerprint": state_fingerprint(model)},
        **changes,
    }


def written(path: Path, values: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values), encoding="utf-8")
    return path
