"""Commands on a trained model: `convert`, `encode`, `codes` and `slots`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from unicode_cmg import console
from unicode_cmg.commands.options import (
    AsJson,
    Checkpoint,
    Engine,
    Features,
    Level,
    Merge,
    Seed,
    Shard,
    TrustCode,
    load_model,
    shard_in,
)


def convert(
    source: Annotated[
        Path, typer.Argument(help="Released .pt file, or folder of a model, a checkpoint or a run.")
    ],
    to: Annotated[Path, typer.Option(help="Folder to write, or .pt file to write in the released layout.")],
    as_json: AsJson = False,
) -> None:
    """Convert a released checkpoint to a model folder, or back, or export the model of a run.

    Tensors keep their bits and types; optimizer states are dropped.
    """
    from unicode_cmg.checkpoints import convert as convert_checkpoint

    conversion = convert_checkpoint(source, to)
    console.finish(conversion.to_json(), conversion.summary(), as_json)


def encode(
    checkpoint: Checkpoint,
    features: Features,
    to: Annotated[Path, typer.Option(metavar="FILE", help="Table to write, such as codes.parquet.")],
    vectors: Annotated[bool, typer.Option("--vectors", help="Also write the vector of each code.")] = False,
    modalities: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Modalities to encode, separated by commas, such as audio,text.",
            show_default="all that model and features share",
        ),
    ] = None,
    level: Level = None,
    merge: Merge = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Number of clips per batch.")] = 64,
    shard: Shard = "0/1",
    engine: Engine = "local",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes of Ray.", show_default="one per core or GPU")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the codes of every clip to a Parquet table.

    The table has one row for each clip, modality, valid step and code layer.
    """
    from unicode_cmg.data import FeatureStore
    from unicode_cmg.encoding import encode_store
    from unicode_cmg.files import check_writable

    check_writable(to)
    written = encode_store(
        load_model(checkpoint, merge),
        FeatureStore.open(features),
        to,
        vectors=vectors,
        modalities=None if modalities is None else console.names_in(modalities),
        level=level,
        batch_size=batch_size,
        shard=shard_in(shard),
        engine=engine,
        workers=workers,
        progress=None,
    )
    console.finish(written.to_json(), written.summary(), as_json)


def codes(
    checkpoint: Checkpoint,
    features: Features,
    to: Annotated[
        Path | None, typer.Option(help="Folder to write.", show_default="the folder codes of the run")
    ] = None,
    split: Annotated[str, typer.Option(help="Split of a data set in the AVE layout.")] = "test",
    code_layer: Annotated[
        str | None, typer.Option(help="Code layer, such as layer0.", show_default="the first")
    ] = None,
    level: Level = None,
    merge: Merge = None,
    raw: Annotated[
        bool,
        typer.Option("--raw", help="Use raw counts, not corrected for the number of steps of each modality."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show which modalities use a code, and what it stands for.

    Writes codes.json, codes.csv with one row for each code, and codes.png, which the report of the run
    shows. Codes are compared with the classes of a data set in the AVE layout, or with the column 'label' of
    a feature store.
    """
    from unicode_cmg.data.labelled import LabelledClips, open_clips, open_events
    from unicode_cmg.files import check_writable
    from unicode_cmg.inspect.codes.describe import codes_folder, write_codes

    to = codes_folder(checkpoint) if to is None else to
    if not to.is_file():
        check_writable(to / "codes.json")
    clips = open_clips(features, split)
    found = write_codes(
        load_model(checkpoint, merge),
        clips,
        to,
        code_layer=code_layer,
        level=level,
        raw=raw,
        events=open_events(features) if isinstance(clips, LabelledClips) else None,
        progress=None,
    )
    console.finish(found.to_json(), f"{found.table()}\n\nwritten to {to}", as_json)


def slots(
    checkpoint: Annotated[
        Path, typer.Argument(help="Folder of a run with slot_alignment, or one of its checkpoints.")
    ],
    features: Features,
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="PAGE.html",
            help="Picture to write: an HTML page, or a .png, .pdf or .svg file.",
            show_default="none",
        ),
    ] = None,
    clips: Annotated[
        str,
        typer.Option(metavar="N|ID,ID", help="Clips to show: the first N, or those with these ids."),
    ] = "8",
    tokens: Annotated[
        int,
        typer.Option(min=1, help="Tokens shown for each slot; at most three tenths of a short sequence."),
    ] = 20,
    seed: Seed = 0,
    trust_code: TrustCode = False,
    as_json: AsJson = False,
) -> None:
    """Show what the matched slots of a run attend to.

    Lists the words, patches and steps with the largest attention, and draws them.
    """
    from unicode_cmg.data import FeatureStore
    from unicode_cmg.inspect import matched_slots, write_slots

    store = FeatureStore.open(features)
    chosen = int(clips) if clips.isdecimal() else console.names_in(clips)
    options: dict[str, Any] = {"clips": chosen, "tokens": tokens, "seed": seed, "trust_code": trust_code}
    if to is None:
        found, written = matched_slots(checkpoint, store, **options), ""
    else:
        found, written = write_slots(checkpoint, store, to, **options), f"\n\nwritten to {to}"
    console.finish(found.to_json(), found.table() + written, as_json)
