"""The model card of a shared model: what it is, how to use it, what was measured."""

from __future__ import annotations

from collections.abc import Collection
from importlib.resources import files
from pathlib import Path

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData
from jinja2 import Environment, StrictUndefined

from unicode_cmg.checkpoints.released import LAYOUTS
from unicode_cmg.checkpoints.tensors import state_fingerprint
from unicode_cmg.errors import InputError
from unicode_cmg.model import Model
from unicode_cmg.results import DirectionResult, Evaluation, in_percent, read_evaluations

LIBRARY = "unicode-cmg"
_TAGS = ("model_hub_mixin", "multimodal", "unified-codebook")


def model_card(model: Model, *, results: Path | str | None = None, license: str | None = None) -> ModelCard:
    """The card as huggingface_hub writes it to `README.md`; its metadata hold a model-index of the numbers.

    Args:
        model: The model.
        results: A run folder, its `results.json` or the JSON file of one evaluation. Control experiments with
            shuffled codes are left out.
        license: An identifier of the Hub, such as `apache-2.0`; left open by default, since the features and
            their data decide it too.

    Raises:
        InputError: The results cannot be read, or are of another model.
    """
    evaluations = {} if results is None else read_evaluations(Path(results))
    fingerprint = state_fingerprint(model) if evaluations else None
    for name, evaluation in evaluations.items():
        if evaluation.checkpoint.fingerprint != fingerprint:
            raise InputError(
                f"the evaluation '{name}' is of another model",
                where=results,
                expected="numbers of the model the card is for",
                fix="evaluate this model again",
            )
    title = LAYOUTS[model.name].title if model.name in LAYOUTS else model.name
    data = ModelCardData(
        library_name=LIBRARY,
        license=license,
        tags=[*_TAGS, model.name, *model.modalities],
        pipeline_tag="feature-extraction",
        model_name=title,
        eval_results=[row for evaluation in evaluations.values() for row in _index(evaluation)] or None,
    )
    return ModelCard(f"---\n{data.to_yaml()}\n---\n\n{_body(model, title, evaluations.values())}\n")


def _body(model: Model, title: str, evaluations: Collection[Evaluation]) -> str:
    template = files("unicode_cmg.checkpoints") / "templates" / "model_card.md.j2"
    environment = Environment(trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    values = model.config.model_dump(mode="json")
    return environment.from_string(template.read_text(encoding="utf-8")).render(
        title=title,
        modalities=model.modalities,
        released=model.origin,
        code_layers=model.code_layers(),
        codebooks=model.codebooks(),
        evaluations=evaluations,
        heading=_heading,
        direction=_direction,
        config=values,
        yaml=yaml.safe_dump(values, sort_keys=False).strip(),
    )


def _heading(evaluation: Evaluation) -> str:
    """What was measured, in one line."""
    seeds = f"{len(evaluation.seeds)} seed{'s' * (len(evaluation.seeds) > 1)}"
    parts = [evaluation.task, f"protocol {evaluation.protocol}", seeds]
    for toc in evaluation.toc or ():
        anew = " and chooses codes anew in them" if toc.use == "requantize" else ""
        parts.append(f"TOC keeps {toc.kept} of {toc.n_dims} dimensions of {toc.code_layer}{anew}")
    return ", ".join(parts)


def _direction(row: DirectionResult) -> str:
    return f"{row.source} → {row.target}"


def _index(evaluation: Evaluation) -> list[EvalResult]:
    """The rows of an evaluation in the Hub's model-index."""
    return [
        EvalResult(
            task_type="feature-extraction",
            task_name="cross-modal generalization",
            dataset_type=evaluation.task,
            dataset_name=evaluation.task,
            dataset_config=_heading(evaluation),  # rows of one type and config are merged
            dataset_args={"protocol": evaluation.protocol, "seeds": list(evaluation.seeds)},
            metric_type=row.metric,
            metric_name=f"{row.metric.replace('_', ' ')}{' %' * in_percent(row.metric)}, {_direction(row)}",
            metric_value=row.mean,
        )
        for row in evaluation.directions
    ]
