"""What may be said about a version: there, not there, or in the way."""

import pytest

from tasks.errors import VersionConflict
from tasks.versions.numbers import LARGEST_VERSION
from tasks.versions.wanted_version import WantedVersion
from tests import small
from tests.savedmodel.conftest import RECIPE

WAYS_OUT = (
    "A published version never changes: give the new recipe another version number or another --base-path, "
    "ask for the recipe that is there, or remove {path} if no server uses it."
)


def test_a_version_that_is_not_there_has_nothing_in_its_way(want):
    """It does not exist, and can be published."""
    wanted = want()
    assert not wanted.exists()
    assert wanted.obstacle() is None
    wanted.check_publishable()


def test_a_version_that_is_there_exists(publish, want):
    """A version with the recipe that is asked for is complete, and in nobody's way."""
    publish()
    wanted = want(min_accuracy=0.92)
    assert wanted.exists()
    assert wanted.obstacle() is None
    wanted.check_publishable()


def test_a_version_lies_under_its_number(tmp_path):
    """The largest int64 is a folder's name like any other."""
    wanted = WantedVersion(tmp_path, LARGEST_VERSION, small.make_recipe())
    assert tmp_path / "9223372036854775807" == wanted.path


def test_looking_makes_nothing(tmp_path, want):
    """Whether a version exists is asked again and again, and leaves no trace."""
    want().exists()
    want().obstacle()
    assert [] == list(tmp_path.iterdir())


def test_another_recipe_is_in_the_way(publish, want):
    """The conflict names every key with both values, says that nothing was overwritten, and the ways out."""
    path = publish()
    wanted = want(model="cnn", batch_size=128, optimizer="sgd", learning_rate=0.5, threads=2)
    assert not wanted.exists()
    expected = (
        f"{path} is there with another recipe: model is softmax, asked for cnn, batch_size is 50, asked for 128, "
        f"threads is 1, asked for 2; nothing was overwritten. {WAYS_OUT.format(path=path)}"
    )
    assert expected == wanted.obstacle()
    with pytest.raises(VersionConflict) as caught:
        wanted.check_publishable()
    assert expected == str(caught.value)


def test_a_version_with_too_low_an_accuracy_is_in_the_way(publish, want):
    """A gate that was raised is compared with the recorded accuracy, and both numbers are told."""
    path = publish(accuracy=0.9)
    assert want(min_accuracy=0.9).exists()
    wanted = want(min_accuracy=0.95)
    assert not wanted.exists()
    expected = (
        f"{path} is there with a validation accuracy of 0.9000, below the min_accuracy of 0.95 now asked for. "
        f"{WAYS_OUT.format(path=path)}"
    )
    assert expected == wanted.obstacle()


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda file: file.unlink(), "saved_model.pb is missing"),
        (lambda file: file.write_bytes(b"12"), "saved_model.pb has 2 bytes, its manifest says 1"),
    ],
)
def test_a_version_without_all_of_its_files_is_in_the_way(publish, want, damage, told):
    """It is not complete, and what is missing or has another size is named."""
    path = publish()
    damage(path / "saved_model.pb")
    assert not want().exists()
    assert f"{path} is there, but damaged: {told}; nothing was overwritten. " in str(want().obstacle())


def empty_folder(path):
    path.mkdir()


def folder_of_others(path):
    (path / "variables").mkdir(parents=True)
    (path / "saved_model.pb").write_bytes(b"of others")


def plain_file(path):
    path.write_text("a file")


def dangling_link(path):
    path.symlink_to(path.parent / "nowhere")


@pytest.mark.parametrize("make", [empty_folder, folder_of_others, plain_file, dangling_link])
def test_what_this_pipeline_did_not_make_is_in_the_way(tmp_path, want, make):
    """Whatever bears the number without a manifest is left alone, and named as not made by this pipeline."""
    make(tmp_path / "1")
    wanted = want()
    assert not wanted.exists()
    expected = (
        f"{wanted.path} is there, but was not made by this pipeline (no readable assets.extra/manifest.json in it); "
        f"nothing was overwritten. {WAYS_OUT.format(path=wanted.path)}"
    )
    assert expected == wanted.obstacle()


@pytest.mark.parametrize("below", ["", "models/mnist"])
def test_a_base_path_that_is_a_file_is_in_the_way(tmp_path, below):
    """The file is named, so that nothing is trained for a version that cannot be written."""
    (tmp_path / "base").write_text("")
    base = tmp_path / "base" / below
    wanted = WantedVersion(base, 1, small.make_recipe())
    assert not wanted.exists()
    assert f"{base}: {tmp_path / 'base'} is a file where a folder is needed" == wanted.obstacle()


def test_other_versions_are_not_in_the_way(publish, want):
    """A conflict is about one number alone."""
    publish(2, recipe={**RECIPE, "model": "cnn"})
    assert want(1).obstacle() is None
    assert want(2).obstacle() is not None


@pytest.mark.parametrize("name", ["007", "0007"])
def test_another_name_for_the_number_is_in_the_way(tmp_path, name):
    """The server takes `007` for version 7, so that 7 is not published beside it; 17 and 7.old are no such names."""
    for other in ("7.old", "17", "17.denied"):
        (tmp_path / other).mkdir()
    wanted = WantedVersion(tmp_path, 7, small.make_recipe())
    assert wanted.obstacle() is None
    (tmp_path / name).mkdir()
    assert f"{tmp_path / name} is version 7 to the server already. Rename it" in str(wanted.obstacle())


def test_a_version_that_was_taken_back_does_not_come_back(tmp_path):
    """Quarantine holds until somebody decides otherwise: the folder is named, and the two ways out."""
    (tmp_path / "7.denied").mkdir()
    wanted = WantedVersion(tmp_path, 7, small.make_recipe())
    assert not wanted.exists()
    obstacle = str(wanted.obstacle())
    assert obstacle.startswith(f"{tmp_path / '7.denied'} is there: version 7 was taken back, and does not come back")
    assert obstacle.endswith(f"mv {tmp_path / '7.denied'} {tmp_path / '7'}")
