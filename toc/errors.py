"""The one error of this package."""

from __future__ import annotations


class CodebookError(ValueError):
    """A codebook, or what is asked of it, is wrong; the message is one line: what, and how to mend it."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))
