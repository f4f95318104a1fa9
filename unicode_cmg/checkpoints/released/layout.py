"""The layout of a method's released checkpoints: tensors under other names, fixed settings, unused tensors.

Each method with released checkpoints has one `ReleasedLayout`. It names tensors `<Module>/<key>`, such as
`Encoder/Cross_quantizer.embedding`: the module whose state dict holds the tensor, and the key in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
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
from unicode_cmg.config import flat, merged
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
        renames: Beginnings of `<Module>/<key>` -> of our key; the first that fits counts.
        stacked: The same for released tensors that hold several of ours along their first axis, for each of
            these slices.
        fixed: Settings that the released code cannot vary, nested as in a configuration file; they name all
            modalities.
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
    renames: Mapping[str, str]
    fixed: Mapping[str, Any]
    read: Callable[[Sizes], Mapping[str, Any]]
    unused: tuple[str, ...] = (".encoder_layer.", ".affine_video_ave.", ".affine_video_self.", ".ave_v_att.")
    unused_shapes: Callable[[Tensors], Mapping[str, Shape]] = unused_parts
    stacked: Sequence[Mapping[str, str]] = ()
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
        values = merged(self.read(Sizes(tensors, where)), {"fidelity": "released", **self.fixed})
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
        for what, expected in self._differences(config.model_dump(), required):
            right = f"{expected}, as in every released {self.title}"
            raise InputError(what, where=where, expected=right, fix=_FIX)
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

    @property
    def _renames(self) -> list[tuple[str, str, int | None]]:
        """Beginning of a released key, of ours, and the slice of its tensor that ours is (None: all)."""
        slices = [(*pair, i) for i, renames in enumerate(self.stacked) for pair in renames.items()]
        return [*((*pair, None) for pair in self.renames.items()), *slices]

    def _places(self, released: str, where: object) -> list[tuple[str, int | None]]:
        """Our keys for a released one, each with its slice; none for a tensor without effect."""
        if any(part in released for part in self.unused):
            return []
        fitting = [rename for rename in self._renames if released.startswith(rename[0])]
        if not fitting:
            expected = f"the keys of a released {self.title}"
            raise InputError(f"unknown key '{released}'", where=where, expected=expected)
        first = fitting[0][0]
        return [(ours + released.removeprefix(first), i) for theirs, ours, i in fitting if theirs == first]

    def _source(self, ours: str, where: object | None) -> tuple[str, int | None] | None:
        """The released key that gives one of ours, and its slice; None where only we have the tensor."""
        if ours in self.ours_alone:
            return None
        for theirs, prefix, slice_ in self._renames:
            if ours.startswith(prefix):
                return theirs + ours.removeprefix(prefix), slice_
        what = f"a released {self.title} has no place for the tensor '{ours}'"
        raise InputError(what, where=where, fix=_FIX)

    def _differences(self, values: Mapping[str, Any], required: Sequence[str]) -> Iterator[tuple[str, str]]:
        """What a configuration has that no released model can have, and what it must be.

        Args:
            values: Nested values of the configuration.
            required: Settings that must not be null.
        """
        modalities, found = values["modalities"], flat(values)
        if set(modalities) != set(self.fixed["modalities"]):
            yield f"the modalities are {', '.join(modalities)}", ", ".join(self.fixed["modalities"])
        for setting, expected in flat(self.fixed).items():
            if found[setting] != expected:
                yield f"'{setting}' is {_text(found[setting])}", _text(expected)
        for setting in required:
            if found[setting] is None:
                yield f"'{setting}' is null", "a number"

    def _check_constant(self, ours: str, tensor: Tensor, where: object | None) -> None:
        if bool(tensor) != self.ours_alone[ours]:
            raise InputError(
                f"'{ours}' is {bool(tensor)}",
                where=where,
                expected=f"{self.ours_alone[ours]}, as a released {self.title} cannot note it",
                fix="train the model for at least one step",
            )


def _text(value: Any) -> str:
    """A value as a configuration file shows it."""
    if value is None:
        return "null"
    return str(list(value) if isinstance(value, tuple) else value).lower()
