"""What following a page needs: the tasks of a release in this process, where TensorFlow is imported already."""

from tests.serving.conftest import quiet_tensorflow, release

__all__ = ["quiet_tensorflow", "release"]
