"""SignVersions, and who asks for a signature, through the real command line."""

import shutil

import pytest

from tasks.versions.signing import read_signature
from tests.buckets import edit_manifest, write_version
from tests.conftest import last_line, names_in, read_tree
from tests.keys import make_keys


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """A key pair."""
    return make_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def run(run_here, keys):
    """Run a task beside a tree with the versions 1 to 3; `sign` signs some with the key."""
    for number in (1, 2, 3):
        write_version(run_here.base, number)

    def run(task, *options, check=0):
        return run_here(task, *options, check=check)

    run.base, run.here = run_here.base, run_here
    run.sign = lambda versions, **options: run(
        "SignVersions", "--versions", versions, "--private-key", keys[0], **options
    )
    return run


def told(result) -> str:
    """The last line, which has to say everything."""
    assert "Traceback" not in result.stderr
    return last_line(result)


class TestSigning:
    """SignVersions."""

    def test_done_twice_changes_nothing(self, run):
        """Each version gets its signature beside it, none inside, and a second run leaves them alone."""
        before = read_tree(run.base)
        assert "Signed 1,2 in" in run.sign("1,2").stderr
        assert ["1", "1.sig", "2", "2.sig", "3"] == names_in(run.base)
        times = [(run.base / name).stat().st_mtime_ns for name in ("1.sig", "2.sig")]
        assert "Signed" not in run.sign("1,2").stderr
        assert times == [(run.base / name).stat().st_mtime_ns for name in ("1.sig", "2.sig")]
        assert before == {name: content for name, content in read_tree(run.base).items() if ".sig" not in name}

    def test_a_wrong_signature_is_replaced(self, run, tmp_path):
        """One by another key, or of a version that had the number before."""
        private, _ = make_keys(tmp_path, "other")
        run("SignVersions", "--versions", "1", "--private-key", private)
        other = read_signature(run.base / "1")
        run.sign("1")
        assert other != read_signature(run.base / "1")

    @pytest.mark.parametrize(
        ("harm", "message"),
        [
            (
                lambda version: (version / "saved_model.pb").write_bytes(b"GRAPH 0"),
                "saved_model.pb was changed: SHA-256",
            ),
            (lambda version: (version / "saved_model.cpb").touch(), "saved_model.cpb was added: its manifest does not"),
            (
                lambda version: (version / "variables" / "variables.index").unlink(),
                "variables/variables.index is missing",
            ),
            (lambda version: (version / "assets.extra" / "manifest.json").unlink(), "only versions that this pipeline"),
            (lambda version: edit_manifest(version, model_version=7), "its manifest is that of version 7"),
            (lambda version: (version / "more").symlink_to("saved_model.pb"), "more is a link; its bytes belong"),
        ],
    )
    def test_what_is_not_what_its_manifest_says_is_not_signed(self, run, harm, message):
        """The line names it; the other versions are signed."""
        harm(run.base / "2")
        assert message in told(run.sign("1-3", check=30))
        assert ["1.sig", "3.sig"] == [name for name in names_in(run.base) if name.endswith(".sig")]

    def test_what_is_missing_is_named(self, run, tmp_path):
        """The versions, the key, the version that is not there."""
        private, public = make_keys(tmp_path)
        assert "versions: none given; allowed are" in told(run("SignVersions", "--private-key", private, check=30))
        assert "private_key: none given; allowed is" in told(run("SignVersions", "--versions", "1", check=30))
        wrong = run("SignVersions", "--versions", "1", "--private-key", public, check=30)
        assert f"private_key {public}: holds something else; allowed is an Ed25519 key" in told(wrong)
        assert "9: there is no such version" in told(run.sign("9", check=30))


class TestBuckets:
    """A signature goes along."""

    @pytest.fixture(params=["folder", "s3"])
    def there(self, request, tmp_path, s3):
        """The options for a bucket."""
        if request.param == "s3":
            return ["--bucket", s3.make_bucket(), "--endpoint-url", s3.address]
        (tmp_path / "bucket").mkdir()
        return ["--bucket", tmp_path / "bucket"]

    def test_there_and_back(self, run, there, keys, tmp_path):
        """Pushed with the version, pulled with it; what was signed since follows, and then there is nothing to do."""
        signed = ["--public-key", keys[1]]
        run.sign("1")
        served = ["--base-path", tmp_path / "served"]
        run("PushVersions", *there)
        run("PullVersions", *there, *served)
        assert ["1", "1.sig", "2", "3"] == names_in(tmp_path / "served")
        refused = run("PullVersions", *there, *served, *signed, check=30)
        assert "2: is not signed: there is no 2.sig (and 1 more failed: 3)" in told(refused)
        run.sign("2,3")
        for times in (1, 2):
            assert (times == 1) == ("Pushed 2,3 to" in run("PushVersions", *there).stderr)
            assert (times == 1) == ("Pulled 2,3 from" in run("PullVersions", *there, *served, *signed).stderr)
        assert read_tree(run.base) == read_tree(tmp_path / "served")
        run("VerifyVersions", *there, *signed)

    def test_what_does_not_verify_never_appears(self, run, there, keys, tmp_path):
        """Unsigned, or signed by somebody else: nothing is visible here, and the other versions come."""
        private, _ = make_keys(tmp_path, "other")
        run("SignVersions", "--versions", "2", "--private-key", private)
        run.sign("3")
        run("PushVersions", *there)
        pull = ["PullVersions", *there, "--base-path", tmp_path / "served", "--public-key", keys[1]]
        assert "1: is not signed: there is no 1.sig (and 1 more failed: 2)" in told(run(*pull, check=30))
        assert ["3", "3.sig"] == names_in(tmp_path / "served")
        faults = run("VerifyVersions", *there, "--public-key", keys[1], check=30).stdout
        assert "error   1: is not signed: there is no 1.sig" in faults
        assert "error   2: 2.sig does not verify: it is not by" in faults

    def test_a_new_key_is_followed(self, run, there, keys, tmp_path):
        """A signature here that does not verify any more is replaced by that of the bucket, which does."""
        private, public = make_keys(tmp_path, "new")
        served = ["--base-path", tmp_path / "served", "--versions", "1"]
        run.sign("1")
        run("PushVersions", "--versions", "1", *there)
        run("PullVersions", *there, *served, "--public-key", keys[1])
        run("SignVersions", "--versions", "1", "--private-key", private)
        run("PushVersions", "--versions", "1", *there)
        run("PullVersions", *there, *served, "--public-key", public)
        assert read_signature(run.base / "1") == read_signature(tmp_path / "served" / "1")

    def test_junk_in_a_bucket_takes_no_good_signature_away(self, run, there, tmp_path, s3):
        """A pull without a key leaves the signature that is here."""
        served = ["--base-path", tmp_path / "served", "--versions", "1"]
        run.sign("1")
        run("PushVersions", "--versions", "1", *there)
        run("PullVersions", *there, *served)
        good = read_signature(tmp_path / "served" / "1")
        if "--endpoint-url" in there:
            s3.client.put_object(Bucket=there[1].split("/")[2], Key="mnist/1.sig", Body=b"junk" * 1000)
        else:
            (there[1] / "1.sig").write_bytes(b"junk" * 1000)
        run("PullVersions", *there, *served)
        assert good == read_signature(tmp_path / "served" / "1")
        shutil.rmtree(tmp_path / "served")
        assert "1.sig: has more than 64 bytes" in told(run("PullVersions", *there, *served, check=30))

    def test_it_is_taken_out_with_the_version(self, run, there):
        """Nothing of it stays in the bucket."""
        run.sign("1")
        run("PushVersions", "--versions", "1", *there)
        run("WithdrawVersions", "--versions", "1", *there)
        assert "there is no version at all" in told(run("PullVersions", *there, "--base-path", "served", check=30))
        if there[1].__class__ is not str:
            assert [] == names_in(there[1])


class TestSettings:
    """`[release] public_key` in luigi.cfg."""

    def test_it_holds_where_no_other_key_is_given(self, run, keys, tmp_path):
        """For a pull too, which brings what is signed."""
        (tmp_path / "bucket").mkdir()
        run.here.configure(f"[release]\npublic_key = {keys[1]}\n[distribution]\nbucket = {tmp_path / 'bucket'}\n")
        run("PushVersions")
        pull = ["PullVersions", "--base-path", tmp_path / "served"]
        assert "1: is not signed: there is no 1.sig (and 2 more failed: 2,3)" in told(run(*pull, check=30))
        assert [] == names_in(tmp_path / "served")
        run.sign("1-3")
        run("PushVersions")
        run(*pull)
        assert ["1", "1.sig", "2", "2.sig", "3", "3.sig"] == names_in(tmp_path / "served")

    def test_a_key_that_nobody_reads_is_named(self, run):
        """As in every section."""
        run.here.configure("[release]\npublik_key = here\n")
        result = run("PromoteVersion", "--label", "stable", "--version", "1", check=40)
        assert "luigi.cfg [release] publik_key: unknown key; allowed are public_key" in result.stderr

    def test_a_file_that_is_no_key_is_no_fault_of_a_version(self, run, tmp_path):
        """It is told once, with its name."""
        result = run("VerifyVersions", "--public-key", "nowhere.pub", check=30)
        assert f"public_key {tmp_path}/nowhere.pub: cannot be read: No such file or directory" in told(result)
