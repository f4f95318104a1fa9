"""Sentences of a text file, or of a table."""

from __future__ import annotations

from pathlib import Path

from unicode_cmg.extract.decoding.file import Location, Page, opened
from unicode_cmg.extract.faults import MediaError, setup_error
from unicode_cmg.extract.media import Text

_MOST_BYTES = 16 << 20


def read_sentences(place: Location, root: Path) -> Text:
    """The sentences of a clip: each line of a file that is not empty, or what a table says.

    Args:
        place: A UTF-8 file, or sentences.
        root: The folder that it may not leave.

    Raises:
        MediaError: It is not readable, is not UTF-8, or there is no word in it.
    """
    lines = list(place) if isinstance(place, tuple) else _lines(place, root)
    sentences = tuple(" ".join(line.split()) for line in lines if line.strip())
    if not sentences:
        raise MediaError("empty", "there is no word in it")
    return Text(sentences)


def _lines(place: Path | Page, root: Path) -> list[str]:
    file = opened(place, root)
    if isinstance(file, str):
        try:
            with Path(file).open("rb") as stream:
                content = stream.read(_MOST_BYTES + 1)
        except OSError as error:
            told = MediaError("unreadable", f"it cannot be opened ({error.strerror})")
            raise setup_error(error, place.name) or told from None
    else:
        content = file.read()
    if len(content) > _MOST_BYTES:
        raise MediaError("too large", f"a text of more than {_MOST_BYTES >> 20} MiB")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise MediaError(
            "unreadable", "not a text in UTF-8; convert it, such as with iconv -t utf-8"
        ) from None
    if "\x00" in text:
        raise MediaError("unreadable", "not a text: it has NUL characters")
    return text.splitlines()
