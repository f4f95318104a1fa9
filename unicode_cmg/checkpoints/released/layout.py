"""The layout of a method's released checkpoints: tensors under other names, fixed settings, unused tensors.

Each method with released checkpoints has one `ReleasedLayout`. It names tensors `<Module>/<key>`, such as
`Encoder/Cross_quantizer.embedding`: the module whose state dict holds the tensor, and the key in it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from pydantic import BaseModel
from torch import Tensor

from unicode_cmg.checkpoints.released.tensors import (
    Shape,
    Sizes,
    Tensors,
    as_floating,
    reproducible,
    unused_parts,
)
from unicode_cmg.errors import InputError

_FIX = "only a model with the released architecture can be written in the released layout"


@dataclass(frozen=True)
class ReleasedLayout:
    """The released checkpoints of one method.

    Attributes:
        title: The method as people call it.
        method: Its name in the registry.
        marks: Beginnings of `<Module>/<key>`, each of which every file of this method has; of the layouts
            whose marks all occur, the one with the most is meant.
        modules: The modules of the whole training state; a file may lack all but the encoder's.
        renames: Beginnings of `<Module>/<key>` and of our key; the first that fits counts. A tuple in place
            of our beginning takes the released tensor apart along its first axis, one slice for each.
        fixed: Settings that the released code cannot vary, `section.setting` -> value.
        requires: Settings that must not be null for a module to be written.
        read: The other settings, from the sizes of the tensors; nested as in a configuration file.
        unused: Parts of keys whose tensors have no effect in the released code.
        unused_shapes: Shapes of these tensors for a file that holds the given ones.
        ours_alone: Tensors that only we have, and their value in a released model.
        counters: Numbers that stand beside the modules in a file.
    """

    title: str
    method: str
    marks: tuple[str, ...]
    modules: tuple[str, ...]
    renames: tuple[tuple[str, str | tuple[str, ...]], ...]
    fixed: Mapping[str, Any]
    read: Callable[[Sizes], Mapping[str, Any]]
    unused: tuple[str, ...] = (".encoder_layer.", ".affine_video_ave.", ".affine_video_self.", ".ave_v_att.")
    unused_shapes: Callable[[Tensors], Mapping[str, Shape]] = unused_parts
    requires: Mapping[str, str] = field(default_factory=dict)
    ours_alone: Mapping[str, bool] = field(default_factory=dict)
    counters: tuple[str, ...] = ("epoch", "total_step")

    def our_name(self, released: str) -> str | None:
        """Our key for a released `<Module>/<key>`; None for a tensor without effect in the released code.

        The first of them where the tensor is taken apart.

        Raises:
            InputError: The key is not one of the released method's.
        """
        places = self._places(released, f"released {self.title}")
        return places[0][0] if places else None

    def their_name(self, ours: str) -> str | None:
        """`<Module>/<key>` of one of our keys; None for a tensor that only we have.

        Raises:
            InputError: The released layout has no place for it.
        """
        found = self._source(ours)
        return None if found is None else found[0]

    def from_released(
        self, tensors: Tensors, *, where: object | None = None
    ) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Values of the configuration, and tensors under our names.

        Args:
            tensors: `<Module>/<key>` -> tensor, of all modules or of some; the encoder's must be among them.
            where: The file they came from, for error messages.

        Returns:
            Values for the method's configuration class, with `fidelity: released`, and the part of its state
            dict that the tensors give.

        Raises:
            InputError: A key is unknown, or one that gives a size is missing.
        """
        where = f"released {self.title}" if where is None else where
        state: dict[str, Tensor] = {}
        for key, tensor in tensors.items():
            for ours, slice_ in self._places(key, where):
                if slice_ is None:
                    state[ours] = tensor
                elif tensor.ndim and slice_ < tensor.shape[0]:
                    state[ours] = tensor[slice_]
        values = _complete(self.read(Sizes(tensors, where)), self.fixed)
        return values, state | {key: torch.tensor(value) for key, value in self.ours_alone.items()}

    def to_released(
        self,
        config: BaseModel,
        state: Tensors,
        *,
        modules: tuple[str, ...] | None = None,
        unused: Tensors | None = None,
        where: object | None = None,
    ) -> dict[str, Tensor]:
        """Tensors as the released code names them, `<Module>/<key>`, module by module.

        Args:
            config: The configuration of the model.
            state: Its whole state dict.
            modules: Which modules to write; default: all.
            unused: Tensors without effect as a file had them; the others get reproducible values.
            where: The model, for error messages.

        Raises:
            InputError: The released layout cannot express the model; the setting is named.
        """
        modules = self.modules if modules is None else modules
        required = [setting for setting, module in self.requires.items() if module in modules]
        _check_expressible(config.model_dump(), self.fixed, required, title=self.title, where=where)
        tensors: dict[str, Tensor] = {}
        slices: dict[str, dict[int, Tensor]] = {}
        for ours, tensor in state.items():
            source = self._source(ours, where)
            if source is None:
                self._check_constant(ours, tensor, where)
                continue
            key, slice_ = source
            if key.split("/")[0] not in modules:
                continue
            if slice_ is None:
                tensors[key] = tensor
            else:
                slices.setdefault(key, {})[slice_] = tensor
        tensors |= {key: torch.stack([parts[i] for i in sorted(parts)]) for key, parts in slices.items()}
        tensors = {key: as_floating(key, tensors) for key in tensors}
        shapes = self.unused_shapes({**tensors, **(unused or {})})
        kept = {k: t for k, t in (unused or {}).items() if k in shapes and tuple(t.shape) == shapes[k]}
        tensors |= reproducible({k: s for k, s in shapes.items() if k not in kept}, tensors) | kept
        return {key: tensors[key] for m in modules for key in tensors if key.startswith(f"{m}/")}

    def _places(self, released: str, where: object) -> list[tuple[str, int | None]]:
        """Our keys for a released one, each with the slice it takes (None: all of it)."""
        if any(part in released for part in self.unused):
            return []
        for theirs, ours in self.renames:
            if released.startswith(theirs):
                rest = released.removeprefix(theirs)
                if isinstance(ours, str):
                    return [(ours + rest, None)]
                return [(prefix + rest, i) for i, prefix in enumerate(ours)]
        raise InputError(
            f"unknown key '{released}'", where=where, expected=f"the keys of a released {self.title}"
        )

    def _source(self, ours: str, where: object | None = None) -> tuple[str, int | None] | None:
        """The released key that gives one of ours, and its slice; None where only we have the tensor."""
        if ours in self.ours_alone:
            return None
        for theirs, prefixes in self.renames:
            if isinstance(prefixes, str) and ours.startswith(prefixes):
                return theirs + ours.removeprefix(prefixes), None
            for i, prefix in enumerate(prefixes if isinstance(prefixes, tuple) else ()):
                if ours.startswith(prefix):
                    return theirs + ours.removeprefix(prefix), i
        raise InputError(
            f"a released {self.title} has no place for the tensor '{ours}'",
            where=where,
            fix=_FIX,
        )

    def _check_constant(self, ours: str, tensor: Tensor, where: object | None) -> None:
        if bool(tensor) != self.ours_alone[ours]:
            raise InputError(
                f"'{ours}' is {bool(tensor)}",
                where=where,
                expected=f"{self.ours_alone[ours]}, as a released {self.title} cannot note it",
                fix="train the model for at least one step",
            )


def _complete(read: Mapping[str, Any], fixed: Mapping[str, Any]) -> dict[str, Any]:
    """Nested values of a configuration with `fidelity: released`: those read and those fixed.

    Args:
        read: Nested, as in a configuration file.
        fixed: `section.setting` -> value.
    """
    values: dict[str, Any] = {"fidelity": "released"}
    _merge(values, read)
    for setting, value in fixed.items():
        nested: Mapping[str, Any] = {(parts := setting.split("."))[-1]: value}
        for section in reversed(parts[:-1]):
            nested = {section: nested}
        _merge(values, nested)
    return values


def _check_expressible(
    values: Mapping[str, Any],
    fixed: Mapping[str, Any],
    required: Collection[str],
    *,
    title: str,
    where: object | None,
) -> None:
    """Refuse a configuration that a released model cannot have.

    Args:
        values: Nested values of the configuration.
        fixed: `section.setting` -> the one value it has in every released model; names the modalities too.
        required: Settings that no released model leaves null.
        title: The released method.
        where: The model, for error messages.

    Raises:
        InputError: A setting differs; the first is named.
    """
    modalities = list(dict.fromkeys(key.split(".")[1] for key in fixed if key.startswith("modalities.")))
    if set(values["modalities"]) != set(modalities):
        raise InputError(
            f"the modalities are {', '.join(values['modalities'])}",
            where=where,
            expected=f"{', '.join(modalities)}, as in every released {title}",
            fix=_FIX,
        )
    for setting, expected in fixed.items():
        found = _lookup(values, setting)
        if found != expected:
            raise InputError(
                f"'{setting}' is {_text(found)}",
                where=where,
                expected=f"{_text(expected)}, as in every released {title}",
                fix=_FIX,
            )
    for setting in required:
        if _lookup(values, setting) is None:
            raise InputError(
                f"'{setting}' is null",
                where=where,
                expected=f"a number, as in every released {title}",
                fix=_FIX,
            )


def _merge(values: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, Mapping):
            _merge(values.setdefault(key, {}), value)
        else:
            values[key] = value


def _lookup(values: Any, setting: str) -> Any:
    for part in setting.split("."):
        values = values[part]
    return values


def _text(value: Any) -> str:
    """A value as a configuration file shows it."""
    if value is None:
        return "null"
    return str(list(value) if isinstance(value, tuple) else value).lower()
