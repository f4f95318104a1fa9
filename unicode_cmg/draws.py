"""Random numbers of the clips of a batch, each a function of the step, the clip and the place of the draw.

No generator is read where they are used: a hash turns the key of a clip, a place and a count into 64 random
bits. So a clip has the same numbers on any number of ranks, and a rank draws for its own clips alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor

from unicode_cmg import ranks

# the finalizer of SplitMix64 (Steele, Lea, Flood 2014), its constants as signed 64-bit numbers
_GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)
_FIRST, _SECOND = 0xBF58476D1CE4E5B9 - (1 << 64), 0x94D049BB133111EB - (1 << 64)


@dataclass(frozen=True)
class ClipDraws:
    """A source of random numbers for each clip of a batch.

    Attributes:
        keys: `[B]` the key of each clip in this step.
        place: Where in the network the numbers are used; equal places give equal numbers.
    """

    keys: Int64[Tensor, " batch"]
    place: int = 0

    @classmethod
    def of(
        cls, rows: int, generator: torch.Generator | None = None, *, device: torch.device | str = "cpu"
    ) -> ClipDraws:
        """Draws for the clips of a batch, or for this rank's share of one.

        Args:
            rows: Clips of the batch, or rows of the share.
            generator: Gives the one number that they all depend on; the same on every rank. None draws it
                from torch's global generator.
            device: Where the numbers will be needed.
        """
        (seed,) = torch.randint(-(1 << 62), 1 << 62, (1,), generator=generator).tolist()
        shared = ranks.share()
        first = 0 if shared is None else shared.first
        keys = _mixed(torch.arange(first, first + rows) * _GOLDEN + seed)
        return cls(keys.to(device, non_blocking=True))

    def at(self, *numbers: int) -> ClipDraws:
        """The same clips at another place: number so and so within this one, and so on inwards."""
        place = self.place
        for number in numbers:
            place = _signed((place + number + 1) * 0x2545F4914F6CDD1D + 0x632BE59BD9B4E019)
        return replace(self, place=place)

    def dropout(self, x: Float[Tensor, batch * shape], p: float) -> Float[Tensor, batch * shape]:
        """`x` with a share `p` of its values, to 1/65536, set to 0 and the others scaled up for it."""
        dropped = round(p * 65536)
        if dropped == 0:
            return x
        kept = self._integers(x[0].numel(), torch.int16) >= dropped - 32768
        scale = kept.to(x.dtype).mul_(65536 / (65536 - dropped) if dropped < 65536 else 0.0)
        return x * scale.view_as(x)

    def uniform(self, *shape: int) -> Float[Tensor, batch * shape]:
        """Float32 numbers inside (0, 1), `shape` of them for each clip."""
        count = torch.Size(shape).numel()
        words = self._integers(count, torch.int32)
        whole = (words >> 8) + (1 << 23)  # 0 to 2^24 - 1
        return ((whole.float() + 0.5) * 2.0**-24).clamp_(max=1 - 2.0**-24).view(-1, *shape)

    def normal(self, *shape: int) -> Float[Tensor, batch * shape]:
        """Float32 numbers from N(0, 1), by Box and Muller."""
        first, second = self.uniform(2, *shape).unbind(1)
        return (-2 * first.log()).sqrt() * (2 * torch.pi * second).cos()

    def _integers(self, count: int, dtype: torch.dtype) -> Shaped[Tensor, "batch count"]:
        hashed = _opaque if torch.compiler.is_compiling() else _hashed
        numbers: Tensor = hashed(self.keys + self.place, count, dtype)
        return numbers


def _hashed(keys: Tensor, count: int, dtype: torch.dtype) -> Tensor:
    """`[B, count]` integers of a type, all bits random; each key fills words of 64 bits."""
    words = -(-count * torch.iinfo(dtype).bits // 64)
    counter = torch.arange(words, device=keys.device) * _GOLDEN
    return _mixed(counter + keys.unsqueeze(1)).view(dtype)[:, :count].contiguous()


# Opaque to compilers: of these operations inductor (torch 2.13) makes code that writes outside of its memory.
_opaque = torch.library.custom_op(
    "unicode_cmg::hashed",
    _hashed,
    mutates_args=(),
    schema="(Tensor keys, SymInt count, ScalarType dtype) -> Tensor",
)
_opaque.register_fake(lambda keys, count, dtype: keys.new_empty((len(keys), count), dtype=dtype))


def _mixed(x: Int64[Tensor, "*shape"]) -> Int64[Tensor, "*shape"]:
    """Every bit of the result depends on every bit of the number."""
    x = (x ^ ((x >> 30) & ((1 << 34) - 1))) * _FIRST
    x = (x ^ ((x >> 27) & ((1 << 37) - 1))) * _SECOND
    return x ^ ((x >> 31) & ((1 << 33) - 1))


def _signed(number: int) -> int:
    """The lowest 64 bits as a signed number."""
    return ((number + (1 << 63)) & ((1 << 64) - 1)) - (1 << 63)
