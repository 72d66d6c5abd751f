"""What a model is shown: the size of an image, the number of classes, and images with their labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # every run reads these numbers, and one that finds nothing to do must not pay for NumPy
    import numpy as np
    from numpy.typing import NDArray

IMAGE_SIDE = 28
PIXELS = IMAGE_SIDE * IMAGE_SIDE
CLASSES = 10


class LabelledImages(Protocol):
    """Images uint8 [n, 784] with values 0 to 255, and labels uint8 [n] with values 0 to 9."""

    @property
    def images(self) -> NDArray[np.uint8]:
        """The images, row by row."""

    @property
    def labels(self) -> NDArray[np.uint8]:
        """Their labels."""
