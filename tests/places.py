"""Where the files of the repository lie that tests read."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / "configs"
SHIPPED = ROOT / "unicode_cmg" / "configs"
DOCS = ROOT / "docs"
GOLDEN = ROOT / "tests" / "golden"
