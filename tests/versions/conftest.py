"""The versions that the tests of savedmodel/ export, and manifests that fit what is asked for."""

from tests.savedmodel.conftest import exported, images, make_manifest, publish, quiet_tensorflow, tree, want, weights

__all__ = ["exported", "images", "make_manifest", "publish", "quiet_tensorflow", "tree", "want", "weights"]
