"""What is not signed is not served, once there is a key; a roll-back is never kept up by that."""

import pytest

from tasks.serving.config_file import find_model, labels, read_config
from tests.buckets import edit_manifest
from tests.conftest import last_line, names_in
from tests.keys import make_keys

AT_ONCE = ["--wait-seconds", "0"]


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """A key pair."""
    return make_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def run(run_here, base_path, keys):
    """Run a task beside four exported versions, with the key in luigi.cfg."""
    assert base_path == run_here.base
    run_here.configure(f"[release]\npublic_key = {keys[1]}\n")

    def run(task, *options, check=0):
        return run_here(task, *options, check=check)

    run.sign = lambda versions: run("SignVersions", "--versions", versions, "--private-key", keys[0])
    run.promote = lambda version, *options, **check: run(
        "PromoteVersion", "--label", "stable", "--version", version, *AT_ONCE, *options, **check
    )
    run.here = run_here
    return run


@pytest.fixture
def pointing(config_path, base_path):
    """What the labels point at now, and which versions are loaded."""

    def look():
        model = find_model(read_config(config_path), base_path)
        return dict(labels(model)), list(model.model_version_policy.specific.versions)

    return look


def told(result) -> str:
    """The last line, which has to say everything."""
    assert "Traceback" not in result.stderr
    return last_line(result)


class TestPromotion:
    """PromoteVersion."""

    def test_what_is_signed_is_promoted(self, run, pointing):
        """Versions without a signature are not loaded beside it either."""
        run.sign("1,2")
        run.promote(2)
        assert ({"stable": 2}, [1, 2]) == pointing()

    def test_what_is_not_signed_is_refused(self, run, config_path):
        """The reason is in the last line, and nothing is written."""
        assert "1 fails verification: is not signed: there is no 1.sig; it was not loaded" in told(
            run.promote(1, check=30)
        )
        assert not config_path.exists()

    def test_what_was_changed_since_is_refused(self, run, base_path):
        """Even if its manifest was changed with it."""
        run.sign("1,2")
        graph = base_path / "1" / "saved_model.pb"
        graph.write_bytes((base_path / "2" / "saved_model.pb").read_bytes())
        edit_manifest(base_path / "1", metrics=lambda metrics: {**metrics, "validation": {"accuracy": 1.0}})
        assert "1 fails verification: 1.sig does not verify: it is not by" in told(run.promote(1, check=30))

    def test_a_file_that_was_added_is_refused(self, run, base_path):
        """Without a key it is a warning; with one, it is a file that nobody signed and that a server may read."""
        run.sign("1")
        (base_path / "1" / "saved_model.cpb").touch()
        assert "was not loaded: not all of it is signed" in told(run.promote(1, check=30))

    def test_what_was_made_elsewhere_cannot_be_signed(self, run, base_path):
        """Nor is it let in by --allow-foreign."""
        (base_path / "1" / "assets.extra" / "manifest.json").unlink()
        refused = told(run.promote(1, "--allow-foreign", check=30))
        assert "is not signed, and cannot be: it has no manifest" in refused

    def test_a_key_on_the_command_line_wins(self, run, tmp_path):
        """And is part of the command that undoes the move."""
        private, public = make_keys(tmp_path, "other")
        run("SignVersions", "--versions", "1", "--private-key", private)
        result = run.promote(1, "--public-key", public)
        assert f"RemoveLabel --label stable --public-key {public}" in result.stdout

    def test_a_key_that_cannot_be_read_is_named(self, run, tmp_path):
        """It is no fault of the version."""
        result = run.promote(1, "--public-key", tmp_path / "nowhere.pub", check=30)
        assert f"public_key {tmp_path}/nowhere.pub: cannot be read: No such file or directory" in told(result)


class TestRollBack:
    """RollBack, in an emergency."""

    @pytest.mark.parametrize("harm", ["gone", "wrong", "key"])
    def test_no_signature_keeps_a_label_from_going_back(self, run, pointing, base_path, harm, tmp_path):
        """Whatever has become of the signature or the key since the promotion: it is a warning."""
        run.sign("1,2")
        run.promote(1)
        run.promote(2)
        signature = base_path / "1.sig"
        if harm == "gone":
            signature.unlink()
        elif harm == "wrong":
            signature.write_bytes(b"x" * 64)
        options = ["--public-key", tmp_path / "nowhere.pub"] if harm == "key" else []
        result = run("RollBack", "--label", "stable", *AT_ONCE, *options)
        assert {"stable": 1} == pointing()[0]
        assert "it was promoted before, so a roll-back goes on" in result.stderr

    def test_other_damage_still_does(self, run, base_path):
        """A label on a version that does not load helps nobody."""
        run.sign("1,2")
        run.promote(1)
        run.promote(2)
        (base_path / "1" / "saved_model.pb").write_bytes(b"")
        result = run("RollBack", "--label", "stable", *AT_ONCE, check=30)
        assert "saved_model.pb has 0 bytes, its manifest says" in told(result)


class TestLeaving:
    """What becomes of a signature when its version leaves."""

    def test_it_is_retired_with_its_version(self, run, base_path):
        """Nothing stays behind."""
        run.sign("1-4")
        run("RetireVersions", "--keep", "2", "--apply")
        assert ["3", "3.sig", "4", "4.sig"] == names_in(base_path)

    def test_it_waits_for_a_quarantined_version(self, run, base_path):
        """So that the way back is one `mv`; it is no fault of the tree meanwhile."""
        run.sign("1,2")
        run("QuarantineVersion", "--version", "2")
        assert ["1", "1.sig", "2.denied", "2.sig", "3", "4"] == names_in(base_path)
        looked = run("VerifyVersions", "--versions", "1")
        assert "2.sig" not in looked.stdout
        (base_path / "2.denied").rename(base_path / "2")
        run("VerifyVersions", "--versions", "1,2")

    def test_one_that_is_left_alone_is_a_warning(self, run, base_path):
        """Its version was removed by hand."""
        run.sign("1,2")
        (base_path / "2").rename(base_path.parent / "elsewhere")
        looked = run("VerifyVersions", "--versions", "1")
        assert "warning 2.sig: is a signature, and there is no version 2; no reader needs it" in looked.stdout


def test_verifying_loads_nothing_that_is_not_signed(run):
    """Each version without a signature is an error, and the newest is not said to be broken."""
    run.sign("1")
    result = run("VerifyVersions", check=30)
    states = [line.split()[1] for line in result.stdout.splitlines()[1:5]]
    assert ["good", "error", "error", "error"] == states
    assert "error   4: is not signed: there is no 4.sig; it was not loaded" in result.stdout
    assert "the newest version does not load" not in result.stdout
    run.sign("2-4")
    run("VerifyVersions")
