"""How images are changed while a network is trained on them, so that it learns what does not make the difference."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.model.images import Form

if TYPE_CHECKING:  # every run reads this module, and one that finds nothing to do must not pay for NumPy
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Distortions:
    """How far an image may be moved, turned, stretched and slanted; one of all combinations is drawn each time.

    `shift` is in pixels (each whole number up to it, in both directions), `turn` in degrees (five angles), `stretch` a
    fraction of the size and `slant` one of the height (three steps each). Each pixel takes the value of the nearest one
    of the image, as small affine changes do in P. Simard, D. Steinkraus and J. Platt, "Best Practices for Convolutional
    Neural Networks Applied to Visual Document Analysis" (2003).
    """

    shift: int = 0
    turn: float = 0.0
    stretch: float = 0.0
    slant: float = 0.0

    @property
    def _steps(self) -> list[tuple[float, float, float, int, int]]:
        """Every combination: angle in degrees, size, slant, rows down and columns to the right."""
        whole = range(-self.shift, self.shift + 1)
        angles = sorted({step * self.turn for step in (-1.0, -0.5, 0.0, 0.5, 1.0)})
        sizes = sorted({1.0 + step * self.stretch for step in (-1.0, 0.0, 1.0)})
        slants = sorted({step * self.slant for step in (-1.0, 0.0, 1.0)})
        return [
            (angle, size, slant, down, right)
            for angle in angles
            for size in sizes
            for slant in slants
            for down in whole
            for right in whole
        ]

    @property
    def kinds(self) -> int:
        """How many combinations there are; 1 leaves every image as it is."""
        return len(self._steps)

    def tables(self, form: Form) -> NDArray[np.int32]:
        """For each combination, which value comes where: int32 [kinds, 784]; 784 is outside the image."""
        import numpy as np

        height, width, channels = form.shape
        rows, columns = np.mgrid[:height, :width].astype(np.float64)
        tables = []
        for angle, size, slant, down, right in self._steps:
            # by Python's math: NumPy's cosine gives other last bits on other processors
            cosine, sine = math.cos(math.radians(angle)) / size, math.sin(math.radians(angle)) / size
            from_centre = rows - (height - 1) / 2 - down, columns - (width - 1) / 2 - right
            row = np.floor(cosine * from_centre[0] - sine * from_centre[1] + height / 2).astype(np.int32)
            column = sine * from_centre[0] + cosine * from_centre[1] + slant * from_centre[0]
            column = np.floor(column + width / 2).astype(np.int32)
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            values = (row * width + column)[..., None] * channels + np.arange(channels)  # (height, width, channels)
            tables.append(np.where(inside[..., None], values, form.pixels).ravel())
        return np.stack(tables).astype(np.int32)
