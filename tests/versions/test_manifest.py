"""The manifest: written, read again, compared, and not believed when it is damaged."""

import json
from dataclasses import asdict

import pytest

from tasks.versions.manifest import MANIFEST, SCHEMA_VERSION, find_damage, read_manifest, write_manifest
from tests import small
from tests.savedmodel.conftest import RECIPE, make_manifest


def test_a_manifest_that_is_written_is_read_again(tmp_path):
    """Every field survives, also where the folder for extra files is there already."""
    manifest = make_manifest()
    write_manifest(tmp_path, manifest)
    assert manifest == read_manifest(tmp_path)
    (tmp_path / MANIFEST).unlink()
    write_manifest(tmp_path, manifest)
    assert manifest == read_manifest(tmp_path)


def test_it_lies_where_a_server_does_not_look(tmp_path):
    """Extra files of a SavedModel belong into assets.extra."""
    write_manifest(tmp_path, make_manifest())
    assert ["assets.extra/manifest.json"] == [
        path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()
    ]


def test_the_same_manifest_gives_the_same_bytes(tmp_path):
    """The order in which keys were put together does not show."""
    texts = []
    for recipe in (RECIPE, dict(reversed(RECIPE.items()))):
        write_manifest(tmp_path, make_manifest(recipe=recipe))
        texts.append((tmp_path / MANIFEST).read_bytes())
    assert texts[0] == texts[1]
    assert texts[0].endswith(b"}\n")


def test_a_flipped_bit_is_noticed_wherever_it_falls(publish):
    """No manifest is read that differs in any bit from what was written, and says something else."""
    version = publish()
    path, written = version / MANIFEST, read_manifest(version)
    content = path.read_bytes()
    believed = []
    for index in range(len(content)):
        for bit in range(8):
            path.write_bytes(content[:index] + bytes([content[index] ^ 1 << bit]) + content[index + 1 :])
            believed += [index] if (found := read_manifest(version)) is not None and found != written else []
    assert [] == believed


def test_a_manifest_of_an_earlier_release_is_read(publish):
    """It has no checksum of itself."""
    version = publish()
    content = json.loads((version / MANIFEST).read_bytes())
    assert 64 == len(content.pop("manifest_sha256"))
    (version / MANIFEST).write_text(json.dumps(content))
    assert make_manifest() == read_manifest(version)


def test_a_fifo_is_no_manifest_and_no_file_of_a_version(publish, make_fifo):
    """Nobody waits for it: the one has no manifest, the other is damaged, even where no byte is missing."""
    version = publish(files={"saved_model.pb": {"bytes": 0, "sha256": "00"}})
    make_fifo(version / "saved_model.pb")
    assert "saved_model.pb is no file" == find_damage(version, read_manifest(version))
    make_fifo(version / MANIFEST)
    assert read_manifest(version) is None


def test_the_gate_looks_at_the_validation_split():
    """The accuracy that counts is the one measured on validation images."""
    metrics = {"validation": {"accuracy": 0.5}, "test": {"accuracy": 0.9}}
    assert 0.5 == make_manifest(metrics=metrics).validation_accuracy


def test_no_difference_to_the_same_recipe():
    """A recipe that is equal, whole numbers written as floats or not, differs in nothing."""
    assert {} == make_manifest().differences(small.make_recipe())
    assert {} == make_manifest(recipe={**RECIPE, "seed": 0.0}).differences(small.make_recipe())


def test_differences_give_both_values():
    """Every key in which recipe or threads differ is there with (value here, value asked for)."""
    asked = small.make_recipe(model="cnn", optimizer="sgd", threads=4)
    expected = {"model": ("softmax", "cnn"), "learning_rate": (0.5, 0.004), "threads": (1, 4)}
    assert expected == make_manifest().differences(asked)


def test_a_key_that_one_side_lacks_is_a_difference():
    """A recipe of a package with other keys is another recipe."""
    newer = {**RECIPE, "dropout": 0.5}
    older = {key: value for key, value in RECIPE.items() if key != "seed"}
    assert {"dropout": (0.5, None)} == make_manifest(recipe=newer).differences(small.make_recipe())
    assert {"seed": (None, 0)} == make_manifest(recipe=older).differences(small.make_recipe())


def test_the_gates_make_no_difference():
    """What decides whether a version is published, and where a training is cut, is not in the manifest."""
    assert {} == make_manifest().differences(small.make_recipe(min_accuracy=0.9, max_regression=0.1, segment=7))


def test_keys_of_other_sections_stand_beside_the_recipe(tmp_path):
    """`threads` and `warmup_records` are no keys of [recipe] in luigi.cfg, nor of `recipe` in the file."""
    write_manifest(tmp_path, make_manifest())
    content = json.loads((tmp_path / MANIFEST).read_bytes())
    assert (1, 3) == (content["threads"], content["warmup_records"])
    assert {"threads", "warmup_records"} == set(RECIPE) - set(content["recipe"])


def test_without_a_manifest_there_is_none(tmp_path):
    """Nothing, an empty folder, a plain file: no manifest, and no error."""
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "nothing", tmp_path, tmp_path / "file"):
        assert read_manifest(place) is None


OTHER_KEYS = {"threads": 1, "warmup_records": 3}
GOOD = {
    **asdict(make_manifest()),
    **OTHER_KEYS,
    "recipe": {key: value for key, value in RECIPE.items() if key not in OTHER_KEYS},
}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        "\x00\xff",
        json.dumps(GOOD)[:-20],
        json.dumps({**GOOD, "schema_version": SCHEMA_VERSION + 1}),
        json.dumps({key: value for key, value in GOOD.items() if key != "schema_version"}),
        json.dumps({key: value for key, value in GOOD.items() if key != "recipe"}),
        json.dumps({**GOOD, "unknown": 1}),
        json.dumps({**GOOD, "recipe": [1]}),
        json.dumps({**GOOD, "metrics": {}}),
        json.dumps({**GOOD, "metrics": None}),
        json.dumps({**GOOD, "metrics": {"validation": {"accuracy": "high"}}}),
        json.dumps({**GOOD, "metrics": {"validation": {"accuracy": float("nan")}}}),
    ],
)
def test_a_damaged_manifest_is_none(tmp_path, content):
    """What is cut short, of another schema or without an accuracy is not taken for a manifest."""
    (tmp_path / MANIFEST).parent.mkdir()
    (tmp_path / MANIFEST).write_text(content, encoding="latin-1")
    assert read_manifest(tmp_path) is None


def test_the_damaged_manifests_were_good_before_they_were_damaged(tmp_path):
    """What the damaged ones were made from is a manifest."""
    (tmp_path / MANIFEST).parent.mkdir()
    (tmp_path / MANIFEST).write_text(json.dumps(GOOD), encoding="utf-8")
    assert make_manifest() == read_manifest(tmp_path)
