"""The command `extract`: raw media to a feature store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from unicode_cmg import console
from unicode_cmg.commands.options import AsJson, Engine, Shard, given, shard_in


def extract(
    source: Annotated[
        Path,
        typer.Argument(
            help="Folder of media, list of clips (csv, tsv, jsonl, json, Parquet), or saved data set."
        ),
    ],
    to: Annotated[Path, typer.Option(help="Feature store to write, or to continue.")],
    audio: Annotated[
        str | None, typer.Option(metavar="ENCODER", help="Encoder of sound, such as vggish:vggish.pth.")
    ] = None,
    video: Annotated[
        str | None, typer.Option(metavar="ENCODER", help="Encoder of video, such as dinov2:FOLDER.")
    ] = None,
    image: Annotated[str | None, typer.Option(metavar="ENCODER", help="Encoder of images.")] = None,
    text: Annotated[str | None, typer.Option(metavar="ENCODER", help="Encoder of text.")] = None,
    encode: Annotated[
        list[str] | None,
        typer.Option(
            "--encode",
            metavar="NAME=KIND:ENCODER",
            help="Modality of another name, with its kind (audio, video, image or text); can be repeated.",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="YAML",
            help="Recipe, or file with modalities and settings; options go before it.",
        ),
    ] = None,
    steps_per_second: Annotated[
        str | None,
        typer.Option(
            metavar="N|file",
            help="Steps per second of sound and video. file: each file is one step, whatever its length.",
            show_default="1",
        ),
    ] = None,
    seconds: Annotated[
        str | None,
        typer.Option(
            metavar="S|all",
            help="Length of a clip; longer ones are cut, steps after the end of shorter ones are masked. all:"
            " as long as it is.",
            show_default="10",
        ),
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(
            help="Folder that the paths of a list are relative to and may not leave.",
            show_default="that of the list",
        ),
    ] = None,
    dtype: Annotated[
        Literal["float16", "float32"] | None,
        typer.Option(help="Type of the features in the store.", show_default="float32"),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Decoders at a time.", show_default="one per core, at most 8")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Number of clips per batch.")] = 16,
    device: Annotated[str, typer.Option(help="Where encoders compute: cpu, cuda, or auto.")] = "auto",
    shard: Shard = "0/1",
    engine: Engine = "local",
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop with exit code 2 at the first file that is broken.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write a feature store from files of sound, video, images and text.

    Files with the same stem, such as X.mp4 and X.txt, are one clip. If it is interrupted, run the same
    command again to resume. Broken files are skipped and listed in broken.csv in the store.
    """
    from unicode_cmg.extract.settings import ExtractSettings, encoders_in

    encoders = given(audio=audio, video=video, image=image, text=text)
    others = encoders_in(console.pairs_in(encode or [], "--encode"))
    options = given(steps_per_second=steps_per_second, seconds=seconds, dtype=dtype)
    settings = ExtractSettings.load(config).changed(
        options, {**{name: (name, encoder) for name, encoder in encoders.items()}, **others}
    )
    extracted = settings.extract(
        source,
        to,
        root=root,
        workers=workers,
        batch_size=batch_size,
        device=device,
        shard=shard_in(shard),
        engine=engine,
        strict=strict,
        progress=None,
    )
    console.finish(extracted.to_json(), extracted.text(), as_json)
