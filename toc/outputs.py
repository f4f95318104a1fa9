"""What a TOC run leaves in its folder."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from toc.codebooks import NamedCodebook
from toc.errors import CodebookError
from toc.figure import draw_selection
from toc.selection import FILE_NAME, TOCSelection

CODEBOOK_NAME, PICTURE_NAME = "codebook.npy", "toc.png"


def write_outputs(folder: str | Path, codebook: NamedCodebook, selection: TOCSelection) -> Path:
    """Write `toc.json`, `codebook.npy` with the kept dimensions (best first), and the picture `toc.png`.

    The files are written aside and moved into place at the end, so a failure leaves what was there before.

    Returns:
        The path of `toc.json`.

    Raises:
        CodebookError: The selection was made for another codebook, or the folder cannot be written.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".toc-") as name:
            scratch = Path(name)
            draw_selection(codebook.vectors, selection, scratch / PICTURE_NAME)
            np.save(scratch / CODEBOOK_NAME, selection.select(codebook.vectors))
            selection.save(scratch)
            for file in (PICTURE_NAME, CODEBOOK_NAME, FILE_NAME):
                (scratch / file).replace(folder / file)
    except OSError as error:
        raise CodebookError(f"{folder}: cannot be written ({error.strerror or error})") from error
    return folder / FILE_NAME
