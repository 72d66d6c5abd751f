"""The versions that the tests of serving/ release."""

from tests.serving.conftest import base_path, config_path, exported, in_process, quiet_tensorflow

__all__ = ["base_path", "config_path", "exported", "in_process", "quiet_tensorflow"]
