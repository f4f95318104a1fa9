"""Where the dots of the activation picture go: one a code, by the shares of the modalities, none hidden."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Shaped

from unicode_cmg.inspect.codes.usage import SHARED, SHARED_FROM, SINGLE, SINGLE_ABOVE

_MOST_PACKED = 1500
_GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))
_PLACES, _BLOCK = 8192, 64
_GAP = 1.12  # between centres, in sums of radii


@dataclass(frozen=True)
class Dots:
    """Centres `[N, 2]` and radii `[N]`, where the sides of the frame have length 1."""

    centres: Float[np.ndarray, "dots 2"]
    radii: Float[np.ndarray, " dots"]

    def of(self, which: Bool[np.ndarray, " dots"]) -> Dots:
        """Some of them."""
        return Dots(self.centres[which], self.radii[which])


def corners(modalities: int) -> Float[np.ndarray, "modalities 2"]:
    """The corner of each modality: ends of a line, a triangle with a level base, or a regular polygon."""
    if modalities <= 2:
        return np.array([[-0.5, 0.0], [0.5, 0.0]])[:modalities]
    angles = -np.pi / 2 - np.pi / modalities + 2 * np.pi * np.arange(modalities) / modalities
    side = 2 * np.sin(np.pi / modalities)
    return np.asarray(np.stack([np.cos(angles), np.sin(angles)], axis=1) / side)


def place_dots(
    parts: Float[np.ndarray, "codes modalities"],
    kinds: Shaped[np.ndarray, " codes"],
    uses: Float[np.ndarray, " codes"],
) -> Dots:
    """A dot for each code, at the average of the corners weighted by its shares.

    Dots are larger for codes that are used more, and smaller where there are many. Those that would overlap
    are moved aside, but not out of the region of their kind, which goes on beyond the edges of the frame. Of
    more than 1500 codes the dots stay where they are and may overlap.

    Args:
        parts: Shares of the modalities in each code.
        kinds: Kind of each code.
        uses: How much each code is used, in any unit.
    """
    where = corners(parts.shape[1])
    centres = parts @ where
    middle = float(np.clip(0.28 / np.sqrt(len(uses)), 0.004, 0.028))
    radii = middle * (0.55 + 0.9 * np.sqrt(uses / uses.max()))
    if len(parts) > _MOST_PACKED:
        return Dots(centres, radii)
    turn = np.arange(_PLACES) * _GOLDEN_ANGLE
    spiral = np.sqrt(np.arange(_PLACES))[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    spiral *= 0.5 * middle
    placed: list[int] = []
    tried: dict[tuple[int, ...], int] = {}  # places taken around spots where many dots belong
    for code in np.argsort(-radii, kind="stable").tolist():
        spot = tuple(np.rint(centres[code] / middle).astype(int).tolist())
        others, reach = centres[placed], (radii[placed] + radii[code]) * _GAP
        distance = np.linalg.norm(others - centres[code], axis=1)
        for start in range(tried.get(spot, 0), _PLACES, _BLOCK):
            steps = spiral[start : start + _BLOCK]
            near = distance < reach + np.linalg.norm(steps[-1])
            places = centres[code] + steps
            away = np.linalg.norm(places[:, None] - others[near], axis=2) >= reach[near]
            free = np.flatnonzero(away.all(axis=1) & _allowed(str(kinds[code]), places, where))
            if len(free):
                centres[code] = places[free[0]]
                tried[spot] = start
                break
        placed.append(code)
    return Dots(centres, radii)


def _allowed(
    kind: str, places: Float[np.ndarray, "places 2"], where: Float[np.ndarray, "modalities 2"]
) -> Bool[np.ndarray, " places"]:
    """Whether a dot of this kind may be there; with more than three modalities it may be anywhere."""
    if len(where) not in (2, 3):
        return np.ones(len(places), dtype=bool)
    shares = _shares_at(places, where)
    shared = (shares >= SHARED_FROM).all(axis=1)
    single = (shares > SINGLE_ABOVE).any(axis=1)
    return np.asarray(shared if kind == SHARED else single if kind == SINGLE else ~shared & ~single)


def _shares_at(
    places: Float[np.ndarray, "places 2"], where: Float[np.ndarray, "modalities 2"]
) -> Float[np.ndarray, "places modalities"]:
    """The shares that belong to a place, negative beyond an edge."""
    if len(where) == 2:
        second = places[:, 0] + 0.5
        return np.stack([1 - second, second], axis=1)
    system = np.vstack([where.T, np.ones(3)])
    return np.asarray(np.linalg.solve(system, np.vstack([places.T, np.ones(len(places))])).T)
