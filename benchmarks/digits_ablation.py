"""What each term of the objective and each rule of the codebook is worth, on the embedded digits.

usage: python -m benchmarks.digits_ablation [--to runs/ablation] [--seeds 0,1,2] [--workers 2] [--threads 1]

Every row differs from the first in the named setting alone; accuracy on the test clips, percent.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.digits_runs import HEADER, Variant, digits_data, markdown, row, run_variants, save_table

VARIANTS = (
    Variant("all terms"),
    Variant("no CLUB", ("loss_weights.club=0",)),
    Variant("no CPC", ("loss_weights.cpc=0",)),
    Variant("no CMCM", ("loss_weights.cmcm=0",)),
    Variant("no CPC, no CMCM", ("loss_weights.cpc=0", "loss_weights.cmcm=0")),
    Variant("no MM-EMA cross terms", ("method.codebook.own_weight=1",)),
    Variant("no revival", ("method.codebook.revive_after=null",)),
    Variant("codebook rule published", ("method.codebook.rule=published", "method.codebook.init=uniform")),
    Variant("pooling: the paper's attention", ("method.pooling=attention",)),
    Variant("pooling: the released sum", ("method.pooling=sum",)),
    Variant(
        "fidelity published",
        ("method.fidelity=published", "method.codebook.rule=published", "method.codebook.init=uniform"),
    ),
)


def main(
    to: Annotated[Path, typer.Option(help="folder of runs and table")] = Path("runs/ablation"),
    seeds: Annotated[str, typer.Option(help="pretraining seeds")] = "0,1,2",
    workers: Annotated[int, typer.Option(help="processes at a time")] = 2,
    threads: Annotated[int, typer.Option(help="threads of each process")] = 1,
) -> None:
    """Print the ablation as a Markdown table."""
    numbers = [int(seed) for seed in seeds.split(",")]
    data = digits_data(to, "reference")
    outcomes = run_variants(
        VARIANTS, numbers, data=data, to=to, report="test", workers=workers, threads=threads
    )
    groups = [[o for o in outcomes if o.variant == v.name] for v in VARIANTS]
    rows = [[v.name, *row(group)] for v, group in zip(VARIANTS, groups, strict=True)]
    save_table(to, "ablation", markdown(["variant", *HEADER], rows), outcomes)


if __name__ == "__main__":
    typer.run(main)
