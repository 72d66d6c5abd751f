"""PushVersions, PullVersions, WithdrawVersions, and VerifyVersions of a bucket, through the real command line."""

import os
import time
from dataclasses import replace

import pytest

from tasks import PushVersions
from tasks.errors import BucketFailed
from tasks.versions.manifest import read_manifest, write_manifest
from tests.buckets import write_version
from tests.conftest import last_line, names_in, read_tree

CONFIG = """
model_config_list {{
  config {{
    name: "{name}" base_path: "{base_path}" model_platform: "tensorflow"
    version_labels {{ key: "stable" value: {stable} }} version_labels {{ key: "canary" value: {canary} }}
  }}
}}
"""


@pytest.fixture
def bucket(tmp_path):
    """An empty folder that stands for a bucket."""
    (tmp_path / "bucket").mkdir()
    return tmp_path / "bucket"


@pytest.fixture
def run(run_here, bucket):
    """Run a task with that bucket, beside a tree with the versions 1 to 3."""
    for number in (1, 2, 3):
        write_version(run_here.base, number)

    def run(task, *options, check=0):
        return run_here(task, "--bucket", bucket, *options, check=check)

    run.base, run.here = run_here.base, run_here
    return run


def told(result) -> str:
    """The last line, which has to say everything."""
    assert "Traceback" not in result.stderr
    return last_line(result)


class TestThereAndBack:
    """Versions go to a bucket and come from there."""

    @pytest.mark.parametrize("kind", ["folder", "s3"])
    def test_the_same_bytes_come_back(self, run_here, bucket, s3, kind, tmp_path):
        """Pushed, verified there, pulled into another folder; a second time nothing is done."""
        for number in (1, 2, 3):
            write_version(run_here.base, number)
        there = (
            ["--bucket", bucket] if kind == "folder" else ["--bucket", s3.make_bucket(), "--endpoint-url", s3.address]
        )
        for times in (1, 2):
            pushed = run_here("PushVersions", "--versions", "1-3", *there, check=0)
            pulled = run_here("PullVersions", "--base-path", tmp_path / "served", *there, check=0)
            assert (times == 1) == ("Pushed 1-3 to" in pushed.stderr)
            assert (times == 1) == ("Pulled 1-3 from" in pulled.stderr)
        assert read_tree(run_here.base) == read_tree(tmp_path / "served")
        table = run_here("VerifyVersions", *there, check=0).stdout.splitlines()
        assert ["good"] * 3 == [line.split()[1] for line in table[1:]]

    def test_a_version_that_fails_does_not_stop_the_others(self, run, bucket):
        """It is named with the number of the others that failed, and the rest is pushed."""
        for number in (1, 2):
            (run.base / str(number) / "saved_model.pb").write_text("another")
        result = run("PushVersions", check=30)
        assert f"PushVersions: {run.base}/1: saved_model.pb was changed" in told(result) or "has 7 bytes" in told(
            result
        )
        assert told(result).endswith("(and 1 more failed: 2)")
        assert ["3"] == names_in(bucket)

    def test_another_recipe_of_a_number_is_a_conflict(self, run, tmp_path):
        """The last line names the keys with both values, for who pushes and for who pulls."""
        run("PushVersions")
        write_version(tmp_path / "other", 2, seed=5)
        pushed = run("PushVersions", "--base-path", tmp_path / "other", check=30)
        assert "2 is there with another recipe: seed is 0, asked for 5; nothing was overwritten" in told(pushed)
        pulled = run("PullVersions", "--versions", "2", "--base-path", tmp_path / "other", check=30)
        assert "2 is there with another recipe: seed is 5, asked for 0; nothing was overwritten" in told(pulled)

    def test_settings_may_stand_in_luigi_cfg(self, run, bucket, tmp_path):
        """`[distribution] bucket` is where nothing else is said, and a key that nobody reads is named."""
        run.here.configure(f"[distribution]\nbucket = {bucket}\n")
        run.here("PushVersions", check=0)
        assert ["1", "2", "3"] == names_in(bucket)
        run.here.configure("[distribution]\nbukcet = here\n")
        result = run.here("PullVersions", "--base-path", tmp_path / "served", check=40)
        assert "luigi.cfg [distribution] bukcet: unknown key; allowed are bucket, endpoint_url" in result.stderr


class TestWhich:
    """Which versions are pulled."""

    @pytest.fixture
    def pushed(self, run, bucket):
        """The versions 1 to 3 in the bucket, and a config file whose labels point at 1 and 2."""
        config = CONFIG.format(name="mnist", base_path=run.base, stable=1, canary=2)
        (run.base.parent / "models.config").write_text(config)

        def pushed(*arguments, **options):
            if names_in(bucket) == []:  # in the test itself: what Luigi logs goes where pytest reads then
                run("PushVersions", "--with-config")
            return run(*arguments, **options)

        pushed.base = run.base
        return pushed

    @pytest.mark.parametrize(
        ("options", "names"),
        [
            ((), ["1", "2", "3"]),
            (("--versions", "1,3"), ["1", "3"]),
            (("--newest", "2"), ["2", "3"]),
            (("--newest", "9"), ["1", "2", "3"]),
            (("--label", "stable"), ["1"]),
            (("--label", "stable,canary", "--model-name", "mnist"), ["1", "2"]),
        ],
    )
    def test_those_that_are_asked_for(self, pushed, tmp_path, options, names):
        """By number, the newest, those with a label, or all."""
        pushed("PullVersions", "--base-path", tmp_path / "served", *options)
        assert names == names_in(tmp_path / "served")

    def test_a_label_is_followed(self, pushed, tmp_path):
        """When it moves and the config file is pushed again, the next pull brings what it points at now."""
        pull = ("PullVersions", "--base-path", tmp_path / "served", "--label", "stable")
        pushed(*pull)
        config = CONFIG.format(name="mnist", base_path=pushed.base, stable=3, canary=2)
        (pushed.base.parent / "models.config").write_text(config)
        pushed("PushVersions", "--with-config")
        pushed(*pull)
        assert ["1", "3"] == names_in(tmp_path / "served")

    def test_what_was_taken_back_here_stays_away(self, pushed, tmp_path):
        """`3.denied` is left out of the newest and of all; asked for by its number, it is a conflict."""
        (tmp_path / "served" / "3.denied").mkdir(parents=True)
        pull = ("PullVersions", "--base-path", tmp_path / "served")
        pushed(*pull, "--newest", "1")
        assert ["2", "3.denied"] == names_in(tmp_path / "served")
        pushed(*pull)
        assert ["1", "2", "3.denied"] == names_in(tmp_path / "served")
        assert "was taken back, and does not come back by itself" in told(pushed(*pull, "--versions", "3", check=30))

    def test_a_push_that_was_cut_off_is_no_version(self, pushed, bucket, tmp_path):
        """It is left out, and named when it is asked for."""
        pushed("PushVersions")
        (bucket / "3" / "saved_model.pb").unlink()
        pull = ("PullVersions", "--base-path", tmp_path / "served")
        pushed(*pull, "--newest", "1")
        assert ["2"] == names_in(tmp_path / "served")
        result = pushed(*pull, "--versions", "3", check=30)
        assert told(result).endswith("there is no version 3 (an upload was cut off, or is going on)")

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (("--versions", "4"), "there is no version 4"),
            (("--versions", "1", "--newest", "1"), "versions, newest, label: allowed is one of them at a time"),
            (("--label", "nobody"), "label 'nobody': allowed are canary, stable, as in "),
            (("--label", "stable", "--model-name", "other"), "model_name 'other': allowed are mnist, as in "),
            (("--bucket", "missing"), "there is no such folder; make it, or is a disk not mounted?"),
            (("--bucket", ""), "bucket: none given; allowed are s3://bucket/prefix, gs://bucket/prefix"),
        ],
    )
    def test_what_is_not_there_is_told(self, pushed, tmp_path, options, message):
        """In the last line, and nothing is pulled."""
        result = pushed("PullVersions", "--base-path", tmp_path / "served", *options, check=30)
        assert message in told(result)
        assert [] == names_in(tmp_path / "served")

    def test_an_empty_bucket_is_told(self, run, tmp_path):
        """Nothing to pull is an error: it may be the wrong prefix."""
        assert "there is no version at all" in told(run("PullVersions", "--base-path", tmp_path / "served", check=30))

    @pytest.mark.parametrize("bucket", ["http://x", "s3://", "s3://a/../b"])
    def test_a_url_that_is_none_is_told(self, run_here, bucket):
        """Before anything runs."""
        result = run_here("PullVersions", "--bucket", bucket, check=40)
        assert f"bucket {bucket!r}: allowed are s3://bucket/prefix, gs://bucket/prefix, file:///folder" in result.stderr


class TestConfig:
    """The config file that goes beside the versions."""

    def test_a_label_without_its_version_is_refused(self, run, bucket):
        """Whoever follows it would find nothing."""
        config = CONFIG.format(name="mnist", base_path=run.base, stable=3, canary=1)
        (run.base.parent / "models.config").write_text(config)
        result = run("PushVersions", "--versions", "1,2", "--with-config", check=30)
        assert "the label 'stable' points at version 3, and" in told(result)
        assert ["1", "2"] == names_in(bucket)

    def test_another_models_config_is_refused(self, run, tmp_path):
        """It has no entry with this base path; or it is not there at all."""
        path = run.base.parent / "models.config"
        assert "there is no such file" in told(run("PushVersions", "--with-config", check=30))
        path.write_text(CONFIG.format(name="other", base_path=tmp_path, stable=1, canary=1))
        assert "has no model with the base path" in told(run("PushVersions", "--with-config", check=30))
        path.write_text("model_confg_list {}")
        assert "no ModelServerConfig in text format" in told(run("PushVersions", "--with-config", check=30))


class TestWithdrawing:
    """Versions are taken out of a bucket."""

    def test_they_are_gone_and_what_was_pulled_stays(self, run, bucket, tmp_path):
        """A second time there is nothing to do."""
        run("PushVersions")
        run("PullVersions", "--base-path", tmp_path / "served")
        for _ in range(2):
            run("WithdrawVersions", "--versions", "1-2")
        assert ["3"] == names_in(bucket)
        assert ["1", "2", "3"] == names_in(tmp_path / "served")

    def test_not_what_a_label_points_at(self, run, bucket):
        """Nothing is taken out then."""
        config = CONFIG.format(name="mnist", base_path=run.base, stable=2, canary=2)
        (run.base.parent / "models.config").write_text(config)
        run("PushVersions", "--with-config")
        result = run("WithdrawVersions", "--versions", "1-3", check=30)
        assert "points at version 2; move it, and push the config file" in told(result)
        assert ["1", "2", "3", "models.config"] == names_in(bucket)

    def test_never_all_by_default(self, run):
        """The versions have to be named."""
        assert "versions: none given; allowed are positive whole numbers" in told(run("WithdrawVersions", check=30))


class TestVerifying:
    """VerifyVersions --bucket."""

    def test_a_changed_object_is_an_error(self, run, bucket):
        """It is in the table, in the last line and in the exit code; a half version is a warning."""
        run("PushVersions")
        (bucket / "2" / "saved_model.pb").write_text("GRAPH 0")
        (bucket / "3" / "saved_model.pb").unlink()
        result = run("VerifyVersions", check=30)
        assert ["good", "error", "warning"] == [line.split()[1] for line in result.stdout.splitlines()[1:4]]
        assert "2: saved_model.pb was changed: SHA-256" in told(result)

    def test_versions_that_are_not_there(self, run):
        """Each that was asked for and is missing, or an empty bucket."""
        assert "holds no version" in told(run("VerifyVersions", check=30))
        run("PushVersions", "--versions", "1")
        assert "the first: 9: is not there" in told(run("VerifyVersions", "--versions", "1,9", check=30))


def test_a_bucket_that_is_back_is_used_by_the_next_try(bucket, tmp_path):
    """What a task met when it was scheduled fails its first run at once, and that one alone."""
    write_version(tmp_path / "mnist", 1)
    bucket.rmdir()
    task = PushVersions(versions="1", bucket=str(bucket), base_path=tmp_path / "mnist")
    assert not task.complete()
    bucket.mkdir()
    with pytest.raises(BucketFailed, match="there is no such folder"):
        task.run()
    task.run()
    assert ["1"] == names_in(bucket)


class TestScale:
    """A thousand versions."""

    @pytest.mark.long
    def test_a_thousand_are_found_complete_by_their_listing(self, s3, tmp_path):
        """No object is read: one request for a thousand keys, within 10 s."""
        first = write_version(tmp_path / "mnist", 1)
        bucket = s3.make_bucket()
        there = {"bucket": bucket, "endpoint_url": s3.address, "base_path": tmp_path / "mnist"}
        task = PushVersions(versions="1", **there)
        task.run()
        s3.ask("copy", bucket=bucket.split("/")[2], version="mnist/1", first=2, last=1000)
        manifest = read_manifest(first)
        for number in range(2, 1001):
            for path in [path for path in first.rglob("*") if path.is_file() and path.name != "manifest.json"]:
                copy = tmp_path / "mnist" / str(number) / path.relative_to(first)
                copy.parent.mkdir(parents=True, exist_ok=True)
                os.link(path, copy)
            write_manifest(tmp_path / "mnist" / str(number), replace(manifest, model_version=number))
        for _attempt in range(3):  # other tests run beside this one
            s3.ask("requests")
            began = time.monotonic()
            assert PushVersions(versions="1-1000", **there).complete()
            seconds = time.monotonic() - began
            assert ["GET"] * 5 == s3.ask("requests")  # 5 objects a version
            if seconds < 10:
                break
        assert 10 > seconds
        assert not PushVersions(versions="1-1001", **there).complete()
