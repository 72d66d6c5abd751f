"""The server's config file, as far as it is read here."""

import pytest

from tasks.errors import InvalidServingConfig
from tasks.serving.config_file import find_model, labels, read_config
from tests.serving.conftest import promote

CONFIG = """
model_config_list {
  config { name: "other" base_path: "/elsewhere" model_platform: "tensorflow" }
  config {
    name: "mnist"
    base_path: "%s"
    model_platform: "tensorflow"
    model_version_policy { specific { versions: 1 versions: 2 } }
    version_labels { key: "stable" value: 1 }
    version_labels { key: "canary" value: 2 }
  }
}
"""


def test_the_entry_of_a_base_path_has_labels(tmp_path):
    """An entry is found by its base path, however that is written."""
    base_path = tmp_path / "mnist"
    base_path.mkdir()
    (tmp_path / "link").symlink_to(base_path)
    path = tmp_path / "models.config"
    path.write_text(CONFIG % f"{base_path}/")
    for written in (base_path, tmp_path / "link", tmp_path / "mnist" / ".." / "mnist"):
        entry = find_model(read_config(path), written)
        assert entry.name == "mnist"
        assert labels(entry) == {"stable": 1, "canary": 2}


def test_no_file_no_entry_no_labels(tmp_path):
    """Without a file, or without an entry for the base path, there are no labels."""
    assert labels(find_model(read_config(tmp_path / "none"), tmp_path)) == {}
    (tmp_path / "models.config").write_text(CONFIG % "/somewhere")
    assert find_model(read_config(tmp_path / "models.config"), tmp_path) is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"model_config_list {\n  config {\n    nane: 'x'\n", "line 3:5 : "),
        (b"\xff\xfe", "cannot be read"),
    ],
)
def test_a_file_with_an_error_is_named_with_its_line(tmp_path, content, reason):
    """What cannot be parsed is named with file and line."""
    path = tmp_path / "models.config"
    path.write_bytes(content)
    with pytest.raises(InvalidServingConfig) as failure:
        read_config(path)
    assert str(path) in str(failure.value)
    assert reason in str(failure.value)


def test_a_folder_in_its_place_is_named(tmp_path):
    """A config path that is a folder cannot be read."""
    with pytest.raises(InvalidServingConfig, match="cannot be read"):
        read_config(tmp_path)


def test_the_file_keeps_its_mode(served):
    """Whoever could read it still can: the server, for one."""
    served.config_path.write_text("")
    served.config_path.chmod(0o664)
    promote(served, "stable", 1)
    assert 0o664 == served.config_path.stat().st_mode & 0o777


def test_a_comment_is_kept_beside_the_file(served):
    """A text with a comment is put aside before it is replaced; a '#' in a string is no comment."""
    text = '# mine\nmodel_config_list { config { name: "a#b" base_path: "/a" } }\n'
    served.config_path.write_text(text)
    promote(served, "stable", 1)
    (kept,) = served.config_path.parent.glob("models.config.*.by-hand")
    assert text == kept.read_text()
    promote(served, "stable", 2)
    assert 1 == len(list(served.config_path.parent.glob("*.by-hand")))
