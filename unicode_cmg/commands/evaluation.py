"""The command `evaluate`: heads on frozen codes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from unicode_cmg import console
from unicode_cmg.commands.options import AsJson, Checkpoint, Level, Merge, files_or_auto, given, load_model
from unicode_cmg.errors import InputError


def evaluate(
    checkpoint: Checkpoint,
    task: Annotated[
        str,
        typer.Option(
            metavar="labels|zero-shot|ave|avvp|ave-avvp|ucf-vgg|retrieval|...|all",
            help="Task; labels takes labels of your own; all stands for every task whose data are present.",
        ),
    ],
    data: Annotated[
        Path, typer.Option(help="Folder of the data sets; of labels, the folder of a feature store.")
    ],
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV",
            help="Of labels: table with a row for each clip.",
            show_default="the columns of the store",
        ),
    ] = None,
    texts: Annotated[
        Path | None,
        typer.Option(
            metavar="STORE",
            help="Of zero-shot and retrieval in a store: feature store of prompts, or of further captions.",
            show_default="none",
        ),
    ] = None,
    label_column: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|NAMES",
            help="Of labels: column of the labels, or several columns of 0 and 1, separated by commas.",
            show_default="label",
        ),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            metavar="class|classes|steps|number",
            help="Of labels: one class or several classes per clip, one class per step, or a number.",
            show_default="as the values look",
        ),
    ] = None,
    split_column: Annotated[
        str | None,
        typer.Option(
            help="Of labels: column with train, val or test.",
            show_default="split, if there is one; else drawn",
        ),
    ] = None,
    group_column: Annotated[
        str | None,
        typer.Option(
            help="Of labels: column of groups that stay in one split.", show_default="group, if there is one"
        ),
    ] = None,
    id_column: Annotated[
        str | None, typer.Option(help="Of labels: column of the clip ids in the table.", show_default="found")
    ] = None,
    split_seed: Annotated[
        int | None, typer.Option(min=0, help="Of labels: seed of drawn splits.", show_default="0")
    ] = None,
    toc_files: Annotated[
        list[str] | None,
        typer.Option(
            "--toc",
            metavar="FILE|auto",
            help="toc.json of a code layer that the heads use, can be repeated; auto: refine the codebooks"
            " now.",
            show_default="all dimensions",
        ),
    ] = None,
    toc_use: Annotated[
        Literal["slice", "requantize"],
        typer.Option(
            help="slice: use the kept dimensions of the codes; requantize: choose the codes again in the kept"
            " dimensions."
        ),
    ] = "slice",
    merge: Merge = None,
    code_layers: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Code layers that the heads use, separated by commas, such as layer0,layer1.",
            show_default="all",
        ),
    ] = None,
    level: Level = None,
    protocol: Annotated[
        str,
        typer.Option(
            metavar="held-out|paper|paper-f1|...|all",
            autocompletion=lambda: ["held-out", "paper", "paper-f1", "all"],
            help="held-out: without leaks; paper, paper-f1: the released recipes, with a list of their leaks;"
            " all: each of them.",
        ),
    ] = "held-out",
    seeds: Annotated[str, typer.Option(help="Seeds of the heads, separated by commas.")] = "0,1,2",
    directions: Annotated[
        str | None,
        typer.Option(
            metavar="A->B,...",
            help="Directions, separated by commas: modality heads learn on -> modality they are tested on.",
            show_default="all",
        ),
    ] = None,
    continuous: Annotated[
        bool,
        typer.Option(
            help="Also measure without codes: on features before quantization, heads also on input features."
        ),
    ] = True,
    exclude: Annotated[
        Path | None,
        typer.Option(
            metavar="STORE|FILE",
            help="Videos to leave out, such as those of pretraining: a feature store, or a list of ids, one"
            " per line.",
            show_default="no video",
        ),
    ] = None,
    printed: Annotated[
        bool, typer.Option("--printed", help="Also show the numbers printed in the papers, on other data.")
    ] = False,
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="JSON file to write; with all, a folder with a file for each result.",
            show_default="none",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train heads on one modality's codes, test them on another's."""
    from benchmarks.evaluation.evaluate import ALL, evaluate_all, file_name
    from unicode_cmg.files import check_writable, write_json

    several = ALL in (task, protocol)
    if to is not None:
        if to.exists() and to.is_dir() != several:
            what, expected = (
                ("a file", "a folder to write") if several else ("a folder", "a JSON file to write")
            )
            raise InputError(f"this is {what}", where=to, expected=expected)
        check_writable(to / "results.json" if several else to)
    found = evaluate_all(
        load_model(checkpoint),
        task,
        data,
        protocol,
        skipped=lambda name, why: console.say(f"{name}: skipped, {why}"),
        task_options=given(
            labels=labels,
            texts=texts,
            label_column=None if label_column is None else console.names_in(label_column),
            kind=kind,
            split_column=split_column,
            group_column=group_column,
            id_column=id_column,
            split_seed=split_seed,
        ),
        directions=None if directions is None else console.names_in(directions),
        continuous=continuous,
        seeds=console.seeds_in(seeds),
        toc=files_or_auto(toc_files),
        toc_use=toc_use,
        merge=files_or_auto(merge),
        code_layers=None if code_layers is None else console.names_in(code_layers),
        level=level,
        exclude=exclude or (),
    )
    results, unwritten = [], None
    for result in found:
        if to is not None:
            try:
                write_json(to / file_name(result) if several else to, result.to_json())
            except InputError as error:  # the numbers took long: they are printed first
                unwritten = error
        if several and not as_json:
            console.show(result.table(printed=printed) + "\n")
        results.append(result)
    if as_json or not several:
        console.finish(
            {"results": [result.to_json() for result in results]} if several else results[0].to_json(),
            results[0].table(printed=printed),
            as_json,
        )
    if unwritten is not None:
        raise unwritten
