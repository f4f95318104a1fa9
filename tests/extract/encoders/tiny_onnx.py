"""ONNX files written by hand: a model is one message of protocol buffers, and a dozen fields are enough."""

from __future__ import annotations

from pathlib import Path

FLOAT, BYTES, INT64 = 1, 2, 7


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def field(number: int, value: int | str | bytes) -> bytes:
    """A field of a message: a number, or bytes with their length in front."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    content = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def node(kind: str, inputs: list[str], output: str, **attributes: list[int] | int) -> bytes:
    """A `NodeProto` with attributes of integers."""
    made = b"".join(field(1, name) for name in inputs) + field(2, output) + field(4, kind)
    for name, value in attributes.items():
        if isinstance(value, int):
            made += field(5, field(1, name) + field(3, value) + field(20, 2))
        else:
            made += field(5, field(1, name) + b"".join(field(8, v) for v in value) + field(20, 7))
    return made


def value_info(name: str, kind: int, shape: list[int | str]) -> bytes:
    dims = b"".join(field(1, field(1, d) if isinstance(d, int) else field(2, d)) for d in shape)
    return field(1, name) + field(2, field(1, field(1, kind) + field(2, dims)))


def constant(name: str, values: list[int]) -> bytes:
    """A `TensorProto` of one axis of integers."""
    return field(1, len(values)) + field(2, INT64) + b"".join(field(7, v) for v in values) + field(8, name)


def write(
    path: Path,
    nodes: list[bytes],
    inputs: list[tuple[str, int, list[int | str]]],
    outputs: list[tuple[str, int, list[int | str]]],
    constants: list[bytes] | None = None,
) -> Path:
    """A model of opset 17."""
    graph = b"".join(field(1, n) for n in nodes) + field(2, "tiny")
    graph += b"".join(field(5, c) for c in constants or [])
    graph += b"".join(field(11, value_info(*i)) for i in inputs)
    graph += b"".join(field(12, value_info(*o)) for o in outputs)
    path.write_bytes(field(1, 8) + field(7, graph) + field(8, field(1, "") + field(2, 17)))
    return path
