"""Hostile pickles: nothing of them is run or imported, and the codebook beside them is read all the same."""

from __future__ import annotations

import io
import pickle
import struct
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from toc import CodebookError
from toc.codebooks import find_codebooks, load_codebook
from toc.codebooks.pickles import read_pickle
from toc.codebooks.torch_files import load_content

CODES = torch.arange(24.0).reshape(6, 4)
DECOY = "decoy_that_must_not_be_imported"


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def call(module: str, name: str, argument: str) -> bytes:
    return f"c{module}\n{name}\n".encode() + text(argument) + b"\x85R"


def name_of(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


INNER = b"\x80\x02cos\nsystem\n" + text("touch owned") + b"\x85R."
MAKE = "open('owned', 'w').close()"
SHELL = "touch owned"
ATTACKS: dict[str, bytes] = {
    "os.system by REDUCE": call("os", "system", SHELL),
    "posix.system by REDUCE": call("posix", "system", SHELL),
    "subprocess.getoutput": call("subprocess", "getoutput", SHELL),
    "builtins.exec": call("builtins", "exec", MAKE),
    "builtins.eval by the name of Python 2": call("__builtin__", "eval", MAKE),
    "runpy of a string": call("code", "interact", MAKE),
    "os.system by STACK_GLOBAL": text("os") + text("system") + b"\x93" + text(SHELL) + b"\x85R",
    "os.system by INST": b"(" + text(SHELL) + b"ios\nsystem\n",
    "os.system by OBJ": b"(cos\nsystem\n" + text(SHELL) + b"o",
    "os.system by NEWOBJ": b"cos\nsystem\n" + text(SHELL) + b"\x85\x81",
    "os.system by NEWOBJ_EX": b"cos\nsystem\n" + text(SHELL) + b"\x85}\x92",
    "builtins.__import__": call("builtins", "__import__", DECOY),
    "a decoy module by its mere name": f"c{DECOY}\nname\n".encode(),
    "importlib": call("importlib", "import_module", DECOY),
    "copyreg._reconstructor": b"ccopyreg\n_reconstructor\n(cos\nsystem\nc__builtin__\nobject\nNtR",
    "copyreg's extension registry": b"\x82\x01" + text(SHELL) + b"\x85R",
    "getattr of a module": b"cbuiltins\ngetattr\n(cos\npath\n" + text("os") + b"tR",
    "functools.partial": b"cfunctools\npartial\n(cos\nsystem\n" + text(SHELL) + b"tR)R",
    "operator.methodcaller": b"coperator\nmethodcaller\n("
    + text("system")
    + text(SHELL)
    + b"tRcos\npath\n\x85R",
    "map over a list": b"cbuiltins\nlist\ncbuiltins\nmap\n(cos\nsystem\n(" + text(SHELL) + b"ltR\x85R",
    "__setstate__ by BUILD": name_of(DECOY, "Thing")
    + b")\x81}"
    + text("__setstate__")
    + name_of("os", "system")
    + b"sb",
    "BUILD of a function of ours": b"ccollections\nOrderedDict\n}" + text("__call__") + b"cos\nsystem\nsb)R",
    "a state with slots": b"cos\nsystem\n)\x81(N}" + text("__dict__") + b"}stb",
    "torch.load within": call("torch", "load", "other.pt"),
    "torch's hub": call("torch.hub", "load", "someone/something"),
    "torch._utils._import_dotted_name": call("torch._utils", "_import_dotted_name", DECOY),
    "a lambda of types.CodeType": b"ctypes\nFunctionType\n(ctypes\nCodeType\n)R}tR",
    "numpy.load with pickles": call("numpy", "load", "other.npy"),
    "numpy.f2py": call("numpy.f2py.crackfortran", "getlincoef", MAKE),
    "a class of joblib": call("joblib.numpy_pickle", "read_array", "x"),
    "pickle.loads within": b"cpickle\nloads\nC" + bytes([len(INNER)]) + INNER + b"\x85R",
    "a storage within a storage": b"ctorch.storage\n_load_from_bytes\nC"
    + bytes([len(INNER)])
    + INNER
    + b"\x85R",
    "a tensor rebuilt by os.system": b"ctorch._tensor\n_rebuild_from_type_v2\n(cos\nsystem\nN("
    + text(SHELL)
    + b"tNtR",
    "a tensor subclass that is a class of the user": (
        f"ctorch._tensor\n_rebuild_from_type_v2\n(c{DECOY}\nmake\nc{DECOY}\nThing\n)}}tR".encode()
    ),
    "an item set on a function": b"cos\nsystem\n)R" + text("key") + text("value") + b"s",
    "an item appended to a function": b"cos\nsystem\n)R" + text("value") + b"a",
    "a persistent id that is a call": b"cos\nsystem\n" + text(SHELL) + b"\x85RQ",
    "a persistent id of text": b"Pstorage\n",
    "a set of itself": b"]q\x42h\x42a",
    "a key that is itself a deep tuple": b"}NN\x86q\x42" + b"0h\x42h\x42\x86q\x42" * 100 + b"Ns",
    "a far slot of the memory": b"Nr\xff\xff\xff\x7f",
    "a deep list": b"]q\x42" + b"]h\x42aq\x420h\x42" * 1000,
}


def hostile(inner: bytes) -> bytes:
    """A pickle of `{"hook": <attack>, "model": {"codebook.embed": <codes>}}`; slots 100 and up are free."""
    codes = pickle.dumps({"codebook.embed": CODES.numpy()}, protocol=2)[2:-1]
    return b"\x80\x02}(" + text("hook") + inner + text("model") + codes + b"u."


def in_zip(path: Path, content: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", content)
        archive.writestr("archive/version", "3\n")
    return path


def in_old_form(path: Path, content: bytes) -> Path:
    head = io.BytesIO()
    torch.save([], head, _use_new_zipfile_serialization=False)
    body = head.getvalue()
    empty = pickle.dumps([], protocol=2)
    at = body.index(empty)
    path.write_bytes(body[:at] + content + body[at + len(empty) :])
    return path


def bare(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which code would leave a file, and a module that would too if it were imported."""
    (tmp_path / f"{DECOY}.py").write_text("open('owned', 'w').close()\n")
    (tmp_path / "other.pt").write_bytes(b"")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("form", [bare, in_zip, in_old_form], ids=lambda form: form.__name__)
@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_an_attack_does_nothing_and_the_codebook_beside_it_is_read(
    attack: bytes, form: Any, trap: Path
) -> None:
    path = form(trap / "bad.pt", hostile(attack))
    before, start = set(sys.modules), time.monotonic()
    try:
        found = load_codebook(path).vectors
    except CodebookError as error:
        pytest.fail(str(error))
    np.testing.assert_array_equal(found, CODES.numpy())
    assert time.monotonic() - start < 5
    assert not (trap / "owned").exists()
    assert set(sys.modules) == before


DAMAGES: dict[str, bytes] = {
    "no end": b"\x80\x02}",
    "an empty stack": b"\x80\x02R.",
    "no mark": b"\x80\x02N)t.",
    "a slot that was never filled": b"\x80\x02h\x07.",
    "a string longer than the file": b"\x80\x02X\xff\xff\xff\x7fabc.",
    "bytes of eight exabytes": b"\x80\x05\x8e\xff\xff\xff\xff\xff\xff\xff\x7fabc.",
    "a key without a value": b"\x80\x02}(Nu.",
    "an item of a number": b"\x80\x02K\x01K\x02a.",
    "a name of numbers": b"\x80\x04K\x01K\x02\x93.",
    "arguments that are no tuple": b"\x80\x02cos\nsystem\n]R.",
    "an unknown instruction": b"\x80\x02\xff.",
    "a number of many digits": b"\x80\x02L" + b"9" * 10000 + b"L\n.",
    "an out-of-band buffer": b"\x80\x05\x97.",
    "one large value copied over and over": (
        b"\x80\x02X\xa0\x86\x01\x00"
        + b"a" * 100000
        + b"q\x010"
        + b"c_codecs\nencode\nh\x01N\x86R0" * 2000
        + b"N."
    ),
}


@pytest.mark.parametrize("form", [bare, in_zip, in_old_form], ids=lambda form: form.__name__)
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_program_is_one_line(damage: bytes, form: Any, tmp_path: Path) -> None:
    with pytest.raises(CodebookError, match=r"bad\.pt: not a whole file of torch\.save") as error:
        load_codebook(form(tmp_path / "bad.pt", damage))
    assert "\n" not in str(error.value)


def torch_zip(path: Path, shape: tuple[int, ...], stride: tuple[int, ...], offset: int, data: bytes) -> Path:
    """A file of one tensor, by hand: eight declared values, whatever the storage holds."""
    numbers = b"".join(
        b"K" + bytes([n]) if n < 256 else b"\x8a\x08" + struct.pack("<q", n) for n in (offset,)
    )
    axes = [b"(" + b"".join(b"\x8a\x08" + struct.pack("<q", n) for n in ns) + b"t" for ns in (shape, stride)]
    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + b"K\x08tQ"
    tensor = (
        b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + numbers + axes[0] + axes[1] + b"\x89Nt" + b"R"
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}" + text("codebook.embed") + tensor + b"s.")
        archive.writestr("archive/data/0", data)
        archive.writestr("archive/version", "3\n")
    return path


EIGHT = np.arange(8, dtype="<f4").tobytes()


def test_a_tensor_within_its_storage_is_read(tmp_path: Path) -> None:
    path = torch_zip(tmp_path / "good.pt", (2, 3), (4, 1), 1, EIGHT)
    np.testing.assert_array_equal(load_codebook(path).vectors, [[1, 2, 3], [5, 6, 7]])
    np.testing.assert_array_equal(
        torch.load(path, weights_only=True)["codebook.embed"], [[1, 2, 3], [5, 6, 7]]
    )


@pytest.mark.parametrize(
    ("shape", "stride", "offset"),
    [
        ((2, 5), (5, 1), 0),
        ((2, 4), (4, 1), 1),
        ((2, 4), (1 << 40, 1), 0),
        ((1 << 40, 4), (0, 1), 0),
        ((1 << 31, 1 << 31), (0, 0), 0),
        ((2, 4), (-4, 1), 4),
        ((1 << 62, 1 << 62), (1, 1), 0),
    ],
)
def test_a_tensor_that_needs_more_than_is_stored_is_refused(
    shape: tuple[int, ...], stride: tuple[int, ...], offset: int, tmp_path: Path
) -> None:
    path = torch_zip(tmp_path / "bad.pt", shape, stride, offset, EIGHT)
    with pytest.raises(CodebookError, match="needs more values than are stored"):
        load_codebook(path)


def test_a_missing_storage_and_a_compressed_zip_are_named(tmp_path: Path) -> None:
    torch.save({"codebook.embed": CODES}, tmp_path / "good.pt")
    with zipfile.ZipFile(tmp_path / "good.pt") as source:
        members = {name: source.read(name) for name in source.namelist()}
    for name, how, skip in (
        ("deflated", zipfile.ZIP_DEFLATED, "-"),
        ("missing", zipfile.ZIP_STORED, "/data/0"),
    ):
        with zipfile.ZipFile(tmp_path / f"{name}.pt", "w", how) as target:
            for member, content in members.items():
                if not member.endswith(skip):
                    target.writestr(member, content)
    with pytest.raises(CodebookError, match="the storage '0' is compressed"):
        load_codebook(tmp_path / "deflated.pt")
    with pytest.raises(CodebookError, match="the storage '0' is missing"):
        load_codebook(tmp_path / "missing.pt")


def test_a_storage_longer_than_the_file_is_refused_in_the_old_form(tmp_path: Path) -> None:
    torch.save({"codebook.embed": CODES}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    content = (tmp_path / "old.pt").read_bytes()
    for count in (1 << 60, 25, -1):
        (tmp_path / "bad.pt").write_bytes(content[: -96 - 8] + struct.pack("<q", count) + content[-96:])
        with pytest.raises(CodebookError, match="not a whole file"):
            load_codebook(tmp_path / "bad.pt")


class Network(torch.nn.Module):
    """A module that is pickled whole, as many people do."""

    def __init__(self) -> None:
        super().__init__()
        self.quantizer = torch.nn.ModuleDict({"embedding": torch.nn.Embedding(6, 4)})
        self.register_buffer("scale", torch.ones(1))


@pytest.mark.parametrize("zipped", [True, False])
def test_the_codebook_of_a_module_that_was_pickled_whole_is_found(zipped: bool, tmp_path: Path) -> None:
    network = Network()
    torch.save({"net": network, "lr": 0.1}, tmp_path / "net.pt", _use_new_zipfile_serialization=zipped)
    found = find_codebooks(tmp_path / "net.pt")
    assert set(found.tensors) == {f"net.{key}" for key in network.state_dict()}
    np.testing.assert_array_equal(found.load().vectors, network.quantizer["embedding"].weight.detach())


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_the_codebook_of_a_scripted_module_is_found(tmp_path: Path) -> None:
    class Scripted(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.quantizer = torch.nn.Embedding(6, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.quantizer(x)

    module = Scripted()
    torch.jit.save(torch.jit.script(module), str(tmp_path / "script.pt"))
    found = find_codebooks(tmp_path / "script.pt")
    assert found.kind == "TorchScript file"
    np.testing.assert_array_equal(found.load().vectors, module.quantizer.weight.detach())


@pytest.mark.parametrize("protocol", range(6))
def test_plain_pickles_of_tensors_and_arrays_are_read(protocol: int, tmp_path: Path) -> None:
    shared = torch.randn(6, 4)
    content = {
        "tensor": shared,
        "view": shared[:, 1:],
        "array": CODES.numpy().astype(">f8"),
        "fortran": np.asfortranarray(CODES.numpy()),
        "half": CODES.numpy().astype(np.float16),
        "parameter": torch.nn.Parameter(CODES),
        "number": np.float32(3),
        "text": "words",
    }
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps(content, protocol))
    found = find_codebooks(tmp_path / "plain.pkl").tensors
    expected = {
        key: np.asarray(v.detach() if isinstance(v, torch.Tensor) else v) for key, v in content.items()
    }
    assert set(found) == set(content) - {"number", "text"}
    for key, stored in found.items():
        np.testing.assert_array_equal(stored.read(), expected[key])
    assert load_content(tmp_path / "plain.pkl")["number"] == 3


PLAIN: list[Any] = [
    {"a": [1, 2.5, None, True, "ü", b"bytes", (1, (2,)), -(1 << 70)], 3: {(1, "x"): []}},
    [{"nested": [{}]}],
    "text",
    {1.5: float("inf"), None: 0},
]


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("value", PLAIN, ids=str)
def test_plain_values_are_what_pickle_itself_would_read(value: Any, protocol: int) -> None:
    assert read_pickle(io.BytesIO(pickle.dumps(value, protocol))) == value
