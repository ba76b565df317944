"""What the network is shown in training: photographs repainted, framed and seen through site cameras."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from vision.labelled import Labelled, Photograph
from vision.training.framing import close_up, mosaic, whole
from vision.training.heads import HEAD, repaint
from vision.training.scenes import as_seen_on_site


@dataclass(frozen=True, slots=True)
class Draw:
    """One picture to make: of which photograph, how large, the seed of everything else, and how tame it shall be.

    A `calm` picture stays closer to the photograph: the end of a training is for those.
    """

    index: int
    size: int
    seed: int
    calm: bool = False


class TrainingPictures:
    """Makes the picture that a `Draw` describes; the same draw makes the same picture in every process."""

    def __init__(self, photographs: Sequence[Photograph], *, cache: bool = False) -> None:
        """`cache` reads every photograph now and keeps its pixels in memory."""
        self._photographs = photographs
        self._kept = [photograph.read() for photograph in photographs] if cache else None
        self._with_bare_head = [
            index for index, photograph in enumerate(photographs) if any(row[0] == HEAD for row in photograph.rows)
        ]

    def __getitem__(self, draw: Draw) -> Labelled:
        rng = np.random.default_rng(draw.seed)
        picture = self._repainted(draw.index, rng)
        chance = rng.random()
        # Helmets fill the picture in many photographs, bare heads in hardly any: unless that is evened out, the
        # network learns that what is large and round is a helmet.
        close = (0.25 if draw.calm else 0.45) if (picture.kind == HEAD).any() else 0.08
        if chance < close:
            framed = close_up(picture, draw.size, rng)
        elif draw.calm or chance < 0.7:
            framed = whole(picture, draw.size, rng, enlarged=(0.8, 1.25) if draw.calm else (0.6, 1.5))
        else:
            others = 8 if rng.random() < 0.15 else 3
            cells = [picture, *(self._repainted(self._another(rng), rng) for _ in range(others))]
            framed = mosaic([cells[place] for place in rng.permutation(len(cells))], draw.size, rng)
        if draw.calm and rng.random() < 0.6:
            return framed
        return as_seen_on_site(framed, rng)

    def _repainted(self, index: int, rng: np.random.Generator) -> Labelled:
        return repaint(self._kept[index] if self._kept else self._photographs[index].read(), rng)

    def _another(self, rng: np.random.Generator) -> int:
        return int(rng.integers(len(self._photographs)))

    def epoch(
        self, size: int, batch: int, rng: np.random.Generator, calm: Callable[[], bool] = lambda: False
    ) -> Iterator[list[Draw]]:
        """Batches of draws: every photograph once and those with a bare head twice, at sizes around `size`.

        The pictures of a batch have the same size, a multiple of 32 from 0.8 to 1.3 times `size`. `calm` is asked when
        a batch is drawn.
        """
        order = rng.permutation([*range(len(self._photographs)), *self._with_bare_head])
        for start in range(0, len(order), batch):
            side = round(size * rng.choice([0.8, 1.0, 1.0, 1.0, 1.3]) / 32) * 32
            tame = calm()
            yield [Draw(int(index), side, int(rng.integers(2**63)), tame) for index in order[start : start + batch]]

    def batches(self, batch: int) -> int:
        """Batches of an epoch."""
        return -(-(len(self._photographs) + len(self._with_bare_head)) // batch)
