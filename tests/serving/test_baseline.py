"""The version in service, which a new one is held against."""

import pytest

from tasks.errors import InvalidServingConfig
from tasks.serving.baseline import find_baseline
from tasks.serving.transaction import ServedModel
from tasks.versions.compatibility import Baseline
from tests.serving.test_config_file import CONFIG


def _config(tmp_path, base_path):
    path = tmp_path / "models.config"
    path.write_text(CONFIG % base_path)
    return path


def test_the_baseline_is_what_stable_points_at(base_path, tmp_path):
    """The label `stable` names the version that others are held against, but for that version itself."""
    config_path = _config(tmp_path, base_path)
    assert find_baseline(base_path, 3, config_path) == Baseline(1, base_path / "1")
    assert find_baseline(base_path, 1, config_path) is None
    assert find_baseline(base_path, 3, tmp_path / "none") is None


def test_models_that_share_a_folder_have_the_newest_baseline(base_path, tmp_path):
    """Whichever entry comes first, and whether it has the label or not; each label must point at what is there."""
    entry = 'config {{ name: "{}" base_path: "%s" version_labels {{ key: "{}" value: {} }} }}'
    config_path = tmp_path / "models.config"

    def baseline(*entries, version=3):
        listed = " ".join(entry.format(*one) % base_path for one in entries)
        config_path.write_text(f"model_config_list {{ {listed} }}")
        return find_baseline(base_path, version, config_path)

    a, b = ("a", "stable", 1), ("b", "stable", 2)
    assert baseline(a, b) == baseline(b, a) == Baseline(2, base_path / "2")
    assert baseline(("a", "canary", 1), b) == Baseline(2, base_path / "2")
    assert baseline(a, b, version=2) == Baseline(1, base_path / "1")
    with pytest.raises(InvalidServingConfig, match="of model 'c' points at version 9"):
        baseline(a, ("c", "stable", 9))


def test_a_base_path_of_the_servers_is_known_by_the_log(base_path, tmp_path):
    """The file has another path, under which the servers see the tree: a release from here has left its line."""
    served = ServedModel(tmp_path / "models.config", base_path, "", 0, lambda _: None, "/models/mnist")
    with served.edit() as edit:
        edit.model.version_labels["stable"] = 1
        edit.publish([edit.move("stable", None, 1, task="PromoteVersion", why="")])
    assert find_baseline(base_path, 3, served.config_path) == Baseline(1, base_path / "1")
    assert find_baseline(tmp_path, 3, served.config_path) is None


def test_a_label_that_points_at_nothing_is_an_error(base_path, tmp_path):
    """A stable version that is gone is said in one line with label, model, version and folder."""
    (base_path / "1").rename(tmp_path / "away")
    with pytest.raises(InvalidServingConfig) as failure:
        find_baseline(base_path, 3, _config(tmp_path, base_path))
    assert f"'stable' of model 'mnist' points at version 1, and {base_path / '1'} is gone" in str(failure.value)
    assert len(str(failure.value).splitlines()) == 1
