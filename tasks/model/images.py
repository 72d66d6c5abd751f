"""What a model is shown and asked: the form of the images, the classes, and images with their labels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # every run reads this module, and one that finds nothing to do must not pay for NumPy
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Form:
    """What a dataset asks of a network: images of that height, width and channels, one score for each class.

    Where a shape in a docstring says 784 and 10, which are MNIST's, it means `pixels` and `classes`.
    """

    shape: tuple[int, int, int]
    class_names: tuple[str, ...]

    @property
    def pixels(self) -> int:
        """Values in one image: 784 for MNIST."""
        return math.prod(self.shape)

    @property
    def classes(self) -> int:
        """How many classes there are: 10 for MNIST."""
        return len(self.class_names)


class LabelledImages(Protocol):
    """Images uint8 [n, 784] with values 0 to 255, and labels uint8 [n] with values below the number of classes."""

    @property
    def images(self) -> NDArray[np.uint8]:
        """The images, row by row."""

    @property
    def labels(self) -> NDArray[np.uint8]:
        """Their labels."""
