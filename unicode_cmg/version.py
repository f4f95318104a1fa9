"""The version of this library."""

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("unicode-cmg")
except PackageNotFoundError:  # a source tree that was never installed
    VERSION = "0.1.0"
