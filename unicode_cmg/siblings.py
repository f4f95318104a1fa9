"""Import of the packages installed beside this one; their names, `benchmarks` and `toc`, are common ones.

Python searches the working directory first in a notebook and with `python -c` or `python -m`, so a folder
`benchmarks` or a file `toc.py` of the user would be imported in place of ours.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path

from unicode_cmg.errors import InputError

_PARENT = str(Path(__file__).absolute().parents[1])


def import_siblings(*names: str) -> None:
    """Import the packages of these names that lie beside `unicode_cmg`, whatever `sys.path` begins with.

    Later `import` statements then find them too, in the whole process.

    Raises:
        InputError: A module of the same name from another place has been imported already.
    """
    for name in names:
        ours = PathFinder.find_spec(name, [_PARENT])
        if ours is None or ours.origin is None or ours.loader is None:
            import_module(name)  # installed somewhere else
        elif name not in sys.modules:
            module = sys.modules[name] = module_from_spec(ours)
            try:
                ours.loader.exec_module(module)
            except BaseException:
                del sys.modules[name]
                raise
        elif os.path.realpath(found := _origin(name)) != os.path.realpath(ours.origin):
            raise InputError(
                f"another module '{name}' has been imported already",
                where=found,
                expected=f"'{name}' of unicode-cmg in {_PARENT}",
                fix=f"rename your own '{name}', or run this in a process that does not import it",
            )


def _origin(name: str) -> str:
    """The file of an imported module, or its first folder if it has no file."""
    module = sys.modules[name]
    return getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", [])), name)
