"""What a file is, by its content and not by its name: the kinds that are read, and others by their names."""

from __future__ import annotations

import stat
import tarfile
import zipfile
from pathlib import Path

from toc.arrays import CodebookError

SAFETENSORS, NPY, NPZ = "safetensors file", "NumPy file", "NumPy archive"
TORCH, SCRIPT, PICKLE = "file of torch.save", "TorchScript file", "pickle"
READABLE = "a file of torch.save or safetensors, a pickle of tensors, or a NumPy file"

_BY_SUFFIX = {
    ".safetensors": SAFETENSORS,
    ".npy": NPY,
    ".npz": NPZ,
    **dict.fromkeys((".pt", ".pth", ".bin", ".ckpt", ".th", ".tar"), TORCH),
    **dict.fromkeys((".pkl", ".pickle"), PICKLE),
}
_UNPACK = "unpack it first"
_EXPORT = "save its codebook with numpy.save"
_SIGNS: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"version https://git-lfs", "a Git LFS pointer, not the file itself", "fetch the file: git lfs pull"),
    (0, b"GGUF", "a GGUF file", "take the weights that it was made from"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file, as of Keras", _EXPORT),
    (0, b"\x1f\x8b", "a gzip archive", _UNPACK),
    (0, b"BZh", "a bzip2 archive", _UNPACK),
    (0, b"\xfd7zXZ\x00", "an xz archive", _UNPACK),
    (0, b"\x28\xb5\x2f\xfd", "a zstandard archive", _UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (0, b"Rar!", "a rar archive", _UNPACK),
    (4, b"TFL3", "a TensorFlow Lite file", _EXPORT),
    (0, b"PAR1", "a Parquet table", "name the file with the weights"),
    (0, b"%PDF", "a PDF document", "name the file with the weights"),
    (0, b"\x89PNG", "a PNG picture", "name the file with the weights"),
    (0, b"\xff\xd8\xff", "a JPEG picture", "name the file with the weights"),
    (0, b"RIFF", "a RIFF file (sound or video)", "name the file with the weights"),
    (4, b"ftyp", "an MP4 file", "name the file with the weights"),
)
_PICKLED = (b"\x80", b"(dp", b"(lp", b"}q", b"]q", b"ccopy_reg\n", b"cnumpy", b"ctorch", b"ccollections\n")


def _is_zip(path: Path) -> bool:
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:  # damage that the quick look already stumbles over
        return False


def file_kind(path: Path) -> str:
    """The kind of a file: `SAFETENSORS`, `NPY`, `NPZ`, `TORCH`, `SCRIPT` or `PICKLE`.

    Content that tells nothing, such as that of a damaged file, leaves it to the end of the name.

    Raises:
        CodebookError: It is of another kind, which the message names.
    """
    head = first_bytes(path)
    other = _other_kind(path, head)
    if other is not None:
        raise CodebookError(f"{path}: {other[0]}; expected {READABLE}; {other[1]}")
    if head.startswith(b"PK\x03\x04") and _is_zip(path):
        return _zip_kind(path)
    if head.startswith(b"\x93NUMPY"):
        return NPY
    length = int.from_bytes(head[:8], "little")
    if head[8:9] == b"{" and 2 <= length < 1 << 32:
        return SAFETENSORS
    if head.startswith(_PICKLED):
        return TORCH if head[2:12] == b"\x8a\nl\xfc\x9cF\xf9 j\xa8" else PICKLE
    if path.suffix in _BY_SUFFIX:
        return _BY_SUFFIX[path.suffix]
    raise CodebookError(f"{path}: not a kind of file that holds codebooks; expected {READABLE}")


def first_bytes(path: Path) -> bytes:
    """The beginning of a regular file.

    Raises:
        CodebookError: It is none, is empty, or cannot be read.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise CodebookError(f"{path}: not a regular file; expected {READABLE}")
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise CodebookError(f"{path}: cannot be read ({error.strerror})") from None
    if not head:
        raise CodebookError(f"{path}: the file is empty; copy or download it again")
    return head


def _other_kind(path: Path, head: bytes) -> tuple[str, str] | None:
    for place, sign, name, mend in _SIGNS:
        if head[place:].startswith(sign):
            return name, mend
    if not any(head) and len(head) == 512:
        return "zeros only: a download that was not finished", "download it again"
    if path.suffix == ".onnx" or (head[:1] == b"\x08" and head[2:3] == b"\x12" and head[4:11] == b"pytorch"):
        return "an ONNX file", "take the weights that it was exported from"
    if path.suffix == ".msgpack":
        return "a msgpack file, as of Flax", _EXPORT
    words = head.lstrip()
    if words[:14].lower() == b"<!doctype html" or words[:5].lower() in (b"<html", b"<head"):
        return "a web page (HTML)", "the link led to a page about the file; download the file itself"
    if words[:1] in (b"{", b"["):
        return "a JSON file", "name the file with the weights, or its folder"
    if head[257:262] == b"ustar" or (path.suffix == ".tar" and not head.startswith((b"PK", *_PICKLED))):
        return _tar_kind(path)
    if _is_text(head) and not head.startswith(_PICKLED[1:]):
        line = " ".join(head.decode("ascii").split())
        return f"a text: '{line[:60]}'", "download it again, or name the file with the weights"
    return None


def _is_text(head: bytes) -> bool:
    return all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in head)


def _tar_kind(path: Path) -> tuple[str, str] | None:
    try:
        with tarfile.open(path) as archive:
            first = [member.name for member, _ in zip(archive, range(8), strict=False)]
    except (tarfile.TarError, OSError, ValueError, EOFError):
        return None
    if {"pickle", "storages", "tensors"} <= set(first):
        return "a file of torch.save of before 2017", "load it with torch and save it again"
    inside = f" that holds {first[0]}" if first else ""
    return f"a tar archive{inside}", _UNPACK


def _zip_kind(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return _BY_SUFFIX.get(path.suffix, TORCH)
    if any(name.count("/") == 1 and name.endswith("/data.pkl") for name in names):
        return SCRIPT if any(name.endswith("/constants.pkl") for name in names) else TORCH
    if names and all(name.endswith(".npy") for name in names):
        return NPZ
    if not names and path.suffix == ".npz":
        return NPZ
    if any("/.data/" in name for name in names):
        raise CodebookError(f"{path}: a package of torch.package; expected {READABLE}; save its state dict")
    inside = f"holds {names[0]}" if names else "is empty"
    raise CodebookError(f"{path}: a zip archive that {inside}; expected {READABLE}; {_UNPACK}")
