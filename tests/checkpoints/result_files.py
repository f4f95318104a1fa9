"""Results of evaluations, as the commands write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from unicode_cmg import Method
from unicode_cmg.checkpoints.tensors import state_fingerprint
from unicode_cmg.results import Evaluation


def evaluation(model: Method[Any], **changes: Any) -> dict[str, Any]:
    """What `evaluate` writes."""
    rows = [("audio", "video", 71.25, 1.5), ("video", "audio", 68.0, None), ("audio", "audio", 90.0, 0.25)]
    values = {
        "task": "ave",
        "protocol": "held-out",
        "leaks": [],
        "departures": [],
        "seeds": [0, 1, 2],
        "classes": ["bell", "dog"],
        "chance": 50.0,
        "majority": 50.0,
        "directions": [
            {
                "source": source,
                "target": target,
                "kind": "same-modality" if source == target else "transfer",
                "metric": "accuracy",
                "mean": mean,
                "std": std,
                "per_seed": [mean],
                "epochs_selected": [1],
            }
            for source, target, mean, std in rows
        ],
        "code_layers": ["layer0"],
        "toc": None,
        "head": {},
        "data": {"root": "data", "fingerprint": "1" * 64, "counts": {"test": 9}, "dropped": {"test": 0}},
        "checkpoint": {
            "method": "dcid",
            "fingerprint": state_fingerprint(model),
            "code_layers": model.code_layers(),
        },
        "seconds": {"encode": 1.0, "heads": 2.0, "total": 3.0},
        **changes,
    }
    return Evaluation.from_json(values).to_json()


def written(path: Path, values: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values), encoding="utf-8")
    return path
