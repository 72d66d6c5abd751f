"""Whether bytes are still what they were."""

import os

import pytest

from tasks.storage import checksums, publishing


@pytest.fixture
def sealed(tmp_path):
    """A folder that was sealed."""
    with publishing.publish_sealed(tmp_path / "1") as aside:
        (aside / "sub").mkdir()
        (aside / "sub" / "file").write_text("content")
    return tmp_path / "1"


def test_a_sealed_folder_is_intact(sealed):
    """What `publish_sealed` has published is found intact, looked at anew or remembered."""
    assert checksums.is_intact(sealed)
    assert checksums.is_intact(sealed, remember=True)


def damage_nothing(directory):
    assert directory.exists()


def cut_short(directory):
    os.truncate(directory / "sub" / "file", 3)


def flip_a_bit(directory):
    path = directory / "sub" / "file"
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)


def remove_a_file(directory):
    (directory / "sub" / "file").unlink()


def remove_the_seal(directory):
    (directory / checksums.CHECKSUMS).unlink()


def spoil_the_seal(directory):
    (directory / checksums.CHECKSUMS).write_text("[1, 2")


def change_the_seal(directory):
    (directory / checksums.CHECKSUMS).write_text('["sub/file"]')


@pytest.mark.parametrize(
    ("damage", "intact"),
    [
        (damage_nothing, True),
        (cut_short, False),
        (flip_a_bit, False),
        (remove_a_file, False),
        (remove_the_seal, False),
        (spoil_the_seal, False),
        (change_the_seal, False),
    ],
)
def test_damage_is_seen(sealed, damage, intact):
    """Whatever happens to a sealed folder shows in its checksums, also to who remembers that it was intact."""
    os.utime(sealed / "sub" / "file", ns=(0, 0))  # a clock ticks slower than a test
    assert checksums.is_intact(sealed, remember=True)
    damage(sealed)
    assert intact == checksums.is_intact(sealed, remember=True)
    assert intact == checksums.is_intact(sealed)


def test_every_file_is_listed_with_size_and_checksum(tmp_path):
    """`list_files` gives files alone, by their path below the folder."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "file").write_bytes(b"abc")
    (tmp_path / "empty").write_bytes(b"")
    expected = {  # SHA-256 of nothing and of "abc": FIPS 180-4's examples
        "empty": {"bytes": 0, "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        "sub/file": {"bytes": 3, "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    }
    assert expected == checksums.list_files(tmp_path)
