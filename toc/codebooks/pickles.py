"""Pickles read without running them.

A pickle is a program for a small stack machine: it may import any name and call it. This machine runs the
same programs and has no instruction that imports or calls. Numbers, strings and containers become plain
Python values; a name becomes a `Name`; whatever the program would build by a call becomes an `Inert` record
of the name and its arguments, unless the name is in a table of *makers*, which are functions of ours.
"""

from __future__ import annotations

import io
import mmap
import pickletools
from collections.abc import Callable, Mapping
from typing import Any

from toc.codebooks.inert import MAKERS, DType, Inert, Maker, Name, PickledArray, PickleError, extend, put

Stream = io.BytesIO | mmap.mmap
_MARK = object()


def read_pickle(
    stream: Stream, makers: Mapping[str, Maker] | None = None, persistent: Maker | None = None
) -> Any:
    """The content of one pickle; the stream is left behind its end.

    Args:
        stream: Where to read.
        makers: Full name -> function of ours that is called in place of the class or function of that name.
        persistent: Called with each persistent id.

    Raises:
        PickleError: The bytes are no whole pickle.
    """
    try:
        return _Machine({**MAKERS, **(makers or {})}, persistent).run(stream)
    except PickleError:
        raise
    except MemoryError:
        raise PickleError("it needs more memory than there is") from None
    except Exception:  # a damaged program can fail in any way
        raise PickleError("its bytes are damaged") from None


class _Machine:
    """The stack machine. Methods named after the opcodes of `pickletools` are its instructions."""

    def __init__(self, makers: Mapping[str, Maker], persistent: Maker | None) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.makers, self.persistent = makers, persistent
        self.copied = 0

    def run(self, stream: Stream) -> Any:
        start = stream.tell()
        for opcode, argument, position in pickletools.genops(stream):  # type: ignore[arg-type]  # mmap reads as files do
            if opcode.name == "STOP":
                return self.stack.pop()
            self.step(opcode.name, argument)
            if self.copied > 2 * ((position or 0) - start) + 1000:  # one large value over and over
                raise PickleError("it copies its values again and again")
        raise PickleError("it ends too early")

    def step(self, name: str, argument: Any) -> None:
        if name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif name in _VALUES:
            self.stack.append(argument)
        elif name in _PUTS:
            self.memo[len(self.memo) if argument is None else argument] = self.stack[-1]
        elif name in _GETS:
            self.stack.append(self.memo[argument])
        elif name in _TUPLES:
            count = _TUPLES[name]
            taken = tuple(self.stack[len(self.stack) - count :])
            if len(taken) < count:
                raise PickleError("its stack is empty")
            del self.stack[len(self.stack) - count :]
            self.stack.append(taken)
        elif name not in _NOTHING:
            getattr(self, f"do_{name.lower()}")(argument)

    def popped_to_mark(self) -> list[Any]:
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise PickleError("a mark is missing")
        taken = self.stack[at + 1 :]
        del self.stack[at:]
        return taken

    def do_mark(self, _: Any) -> None:
        self.stack.append(_MARK)

    def do_pop(self, _: Any) -> None:
        self.stack.pop()

    def do_pop_mark(self, _: Any) -> None:
        self.popped_to_mark()

    def do_dup(self, _: Any) -> None:
        self.stack.append(self.stack[-1])

    def do_tuple(self, _: Any) -> None:
        self.stack.append(tuple(self.popped_to_mark()))

    def do_list(self, _: Any) -> None:
        self.stack.append(self.popped_to_mark())

    do_frozenset = do_list

    def do_dict(self, _: Any) -> None:
        taken: dict[Any, Any] = {}
        put(taken, self.popped_to_mark())
        self.stack.append(taken)

    def do_append(self, _: Any) -> None:
        value = self.stack.pop()
        extend(self.stack[-1], [value])

    def do_appends(self, _: Any) -> None:
        values = self.popped_to_mark()
        extend(self.stack[-1], values)

    do_additems = do_appends

    def do_setitem(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        put(self.stack[-1], [key, value])

    def do_setitems(self, _: Any) -> None:
        pairs = self.popped_to_mark()
        put(self.stack[-1], pairs)

    def do_global(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self.stack.append(Name(module, name))

    def do_stack_global(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise PickleError("a name is no text")
        self.stack.append(Name(module, name))

    def do_ext1(self, argument: int) -> None:
        self.stack.append(Name("copyreg", f"extension{argument}"))

    do_ext2 = do_ext4 = do_ext1

    def do_inst(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self.stack.append(self.made(Name(module, name), tuple(self.popped_to_mark())))

    def do_obj(self, _: Any) -> None:
        kind, *args = self.popped_to_mark()
        self.stack.append(self.made(kind, tuple(args)))

    def do_reduce(self, _: Any) -> None:
        args, kind = self.stack.pop(), self.stack.pop()
        self.stack.append(self.made(kind, args))

    do_newobj = do_reduce

    def do_newobj_ex(self, _: Any) -> None:
        self.stack.pop()  # keyword arguments: no class that has a maker takes any
        self.do_reduce(None)

    def do_build(self, _: Any) -> None:
        state, built = self.stack.pop(), self.stack[-1]
        if isinstance(built, Inert):
            built.state = state
        elif isinstance(built, DType):
            built.order = state[1] if isinstance(state, tuple) and len(state) > 1 else "="
        elif isinstance(built, PickledArray):
            _, built.shape, kind, built.fortran, content = state
            built.dtype = kind.plain() if isinstance(kind, DType) else None
            built.data = content.encode("latin1") if isinstance(content, str) else content
        # The attributes of a container, such as the metadata of a state dict, are left out.

    def do_persid(self, argument: str) -> None:
        self.stack.append(self.stored(argument))

    def do_binpersid(self, _: Any) -> None:
        self.stack.append(self.stored(self.stack.pop()))

    def stored(self, identity: Any) -> Any:
        return (
            Inert("persistent object", (identity,)) if self.persistent is None else self.persistent(identity)
        )

    def made(self, kind: Any, args: Any) -> Any:
        if not isinstance(args, tuple):
            raise PickleError("arguments are no tuple")
        if not isinstance(kind, Name):
            return Inert(kind.kind if isinstance(kind, Inert) else "call of a value", args)
        if str(kind) in ("copyreg._reconstructor", "copy_reg._reconstructor", "copyreg.__newobj__"):
            return Inert(str(args[0]) if args and isinstance(args[0], Name) else str(kind))
        maker = self.makers.get(str(kind))
        if maker is None:
            return Inert(str(kind), args)
        made = maker(*args)
        self.copied += len(made) if isinstance(made, (dict, list, tuple, bytes)) else 0
        return made


_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_SET": list,
    "EMPTY_DICT": dict,
    "EMPTY_TUPLE": tuple,
}
_VALUES = frozenset(
    (
        *("INT", "LONG", "LONG1", "LONG4", "BININT", "BININT1", "BININT2", "FLOAT", "BINFLOAT", "STRING"),
        *("BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
        *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    )
)
_PUTS = frozenset(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"))
_GETS = frozenset(("GET", "BINGET", "LONG_BINGET"))
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_NOTHING = frozenset(("PROTO", "FRAME"))
