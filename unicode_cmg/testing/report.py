"""Running the checks of a method, and what came of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from unicode_cmg.config import Config
from unicode_cmg.errors import unknown
from unicode_cmg.methods.base import Method
from unicode_cmg.testing import (  # noqa: F401 - each adds its checks to CHECKS
    codebooks,
    encoding,
    gradients,
    interface,
    losses,
    missing,
    runs,
)
from unicode_cmg.testing.check import CHECKS
from unicode_cmg.testing.subject import Skipped, Subject


class MethodCheckError(AssertionError):
    """Checks that a method has failed, each with what is wrong, why it matters and how to fix it.

    Attributes:
        failures: Name of the check -> the text about it.
    """

    def __init__(self, method: str, failures: Mapping[str, str]) -> None:
        self.failures = dict(failures)
        lines = [f"{name}: {text}" for name, text in self.failures.items()]
        super().__init__(f"{method} fails {len(lines)} of {len(CHECKS)} checks\n" + "\n".join(lines))


@dataclass(frozen=True)
class CheckReport:
    """What came of the checks that a method has not failed.

    Attributes:
        passed: Names.
        skipped: Name -> why it does not apply to the method.
    """

    passed: tuple[str, ...]
    skipped: Mapping[str, str]


def check_method(
    method: type[Method[Any]],
    config: Mapping[str, Any] | Config,
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    only: Iterable[str] | None = None,
) -> CheckReport:
    """Check what a method promises to training, encoding, checkpoints and benchmarks.

    A small configuration is enough: the checks build some fifty models and train a few steps. Call it once
    for each kind of configuration: two modalities and four, each quantizer, each preset. The global random
    state is left as it was.

    Args:
        method: The class.
        config: Its configuration, or plain values of one.
        shapes: Modality -> shape of one step, `(C,)` or `(H, W, C)`; by default it is read from the field
            `modalities` of the configuration.
        only: Names of the checks to run; default: all of `CHECKS`.

    Raises:
        MethodCheckError: Checks failed; all of them are listed.
        InputError: The configuration is wrong, or a name is no check.

    >>> from unicode_cmg.methods.dcid import DCID
    >>> sizes = {"dim": 8, "num_codes": 12, "heads": 2, "feedforward": 16, "transformer_layers": 1}
    >>> config = {"modalities": {"audio": {"dim": 5}, "video": {"dim": 4}}, **sizes}
    >>> report = check_method(DCID, config, only=["encode_has_documented_shapes", "encode_is_deterministic"])
    >>> report.passed
    ('encode_has_documented_shapes', 'encode_is_deterministic')
    """
    values = config.to_json() if isinstance(config, Config) else config
    subject = Subject.of(method, values, shapes)
    names = list(CHECKS) if only is None else list(only)
    failures: dict[str, str] = {}
    skipped: dict[str, str] = {}
    for name in names:
        if name not in CHECKS:
            raise unknown("check", name, CHECKS, where="check_method")
        try:
            failure = CHECKS[name].failure(subject)
        except Skipped as reason:
            skipped[name] = str(reason)
        else:
            failures |= {} if failure is None else {name: failure}
    if failures:
        raise MethodCheckError(method.__name__, failures)
    return CheckReport(tuple(name for name in names if name not in skipped), skipped)


def method_checks(
    method: type[Method[Any]],
    config: Mapping[str, Any] | Config,
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
) -> dict[str, Callable[[], CheckReport]]:
    """Name of a check -> a call that runs it alone, to be made the cases of a parametrized test.

    Arguments and errors are those of `check_method`.
    """
    return {name: partial(check_method, method, config, shapes=shapes, only=[name]) for name in CHECKS}
