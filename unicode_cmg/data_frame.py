"""Results as tables of pandas, for notebooks; pandas is not required otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from unicode_cmg.errors import InputError


def data_frame(rows: Iterable[Mapping[str, Any]]) -> Any:
    """A `pandas.DataFrame` with these rows; what a row does not have is missing.

    Raises:
        InputError: pandas is not installed.
    """
    try:
        import pandas
    except ImportError:
        raise InputError("pandas is not installed", where="to_pandas", fix="pip install pandas") from None
    return pandas.DataFrame(list(rows))
