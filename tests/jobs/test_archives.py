"""Archives from mirrors, through the command line."""

import os
import shutil
import textwrap

import pytest

from tasks.storage import publishing
from tests.conftest import ROOT, free_port, last_line, names_in, read_tree


class TestData:
    """Archives from mirrors, through the command line."""

    def test_no_mirror_answers(self, run_luigi, http_server, tmp_path):
        """The error names each mirror with its reason, and the three ways out."""
        empty = tmp_path / "empty"
        empty.mkdir()
        pages = tmp_path / "pages"
        pages.mkdir()
        for name in ("train-images", "train-labels", "t10k-images", "t10k-labels"):
            kind = "idx3" if "images" in name else "idx1"
            (pages / f"{name}-{kind}-ubyte.gz").write_text("<!DOCTYPE html><html>please log in</html>")
        nobody = f"http://127.0.0.1:{free_port()}/"
        without, with_pages = http_server(empty), http_server(pages)
        mirrors = ",".join([nobody, without, with_pages, str(empty)])
        result = run_luigi("PrepareDataset", "--dataset=small", f"--DownloadDataset-mirrors={mirrors}", check=30)
        told = last_line(result)
        assert f"{nobody}: no connection" in told
        assert f"{without}: HTTP status 404" in told
        assert f"{with_pages}: a web page is there instead of the file" in told
        assert f"{empty}: No such file" in told
        assert "--DownloadDataset-mirrors" in told
        archives = run_luigi.directory / "work" / "archives" / "small"
        assert f"into {archives} yourself" in told
        assert "--dataset digits" in told
        assert [] == names_in(archives)

    def test_damaged_arrays_are_decoded_again(self, run_luigi):
        """A byte that flipped in an array is found before anything is trained on it, and the arrays are the same."""
        run_luigi("PrepareDataset", "--dataset=small", check=0)
        (arrays,) = (run_luigi.directory / "work" / "datasets").iterdir()
        whole = read_tree(arrays)
        for name, task in {"training_images.npy": "PrepareDataset", "validation_labels.npy": "TrainModel"}.items():
            content = bytearray((arrays / name).read_bytes())
            content[-1] ^= 0xFF
            (arrays / name).write_bytes(content)
            result = run_luigi(task, "--dataset=small", check=0)
            assert f"WARNING: {arrays} is damaged; the archives are decoded again" in result.stderr
            assert whole == read_tree(arrays)

    def test_the_next_mirror_is_tried(self, run_luigi, http_server, mirror, tmp_path):
        """A mirror with wrong bytes is passed over with a warning, and nothing of it is kept."""
        wrong = tmp_path / "wrong"
        shutil.copytree(mirror, wrong)
        (wrong / "t10k-labels-idx1-ubyte.gz").write_bytes((mirror / "t10k-labels-idx1-ubyte.gz").read_bytes()[:-9])
        mirrors = f"{wrong},{http_server(mirror)}"
        result = run_luigi("PrepareDataset", "--dataset=small", f"--DownloadDataset-mirrors={mirrors}", check=0)
        assert f"WARNING: No t10k-labels-idx1-ubyte.gz from {wrong}: " in result.stderr
        assert read_tree(mirror) == read_tree(run_luigi.directory / "work" / "archives" / "small")

    @pytest.mark.parametrize(
        ("damage", "what"),
        [
            ("files[0] = files[0][:2000]", "truncated"),
            ("files[0] = files[0] + b'x'", "bytes left over"),
            ("files[0], files[1] = files[1], files[0]", "are two files swapped?"),
            ("files[1] = b'<html>not found</html>'", "a web page is there instead"),
            ("files[1] = files[3]", "600 images, but 200 labels"),
            ("files[0], files[1] = files[2], files[3]", "200 images, and dataset 'bad' declares 600"),
            (
                "files[0] = small.format_idx(small.np.zeros((600, 14, 56), 'uint8'))",
                "images of 14x56, and dataset 'bad' declares 28x28",
            ),
            (
                "files[0] = small.format_idx(small.np.zeros((600, 28, 28, 3), 'uint8'))",
                "found images with channels (4 dimensions); does the dataset declare other channels?",
            ),
        ],
    )
    def test_archives_that_are_not_what_they_claim(self, run_luigi, tmp_path, damage, what):
        """Archives with the right checksum and wrong content are refused in a line that names the file."""
        module = """
            import dataclasses, gzip, hashlib, pathlib
            from tests import small
            from tests.small import tasks

            files = [gzip.decompress(content) for content in small.ARCHIVES.values()]
            {damage}
            mirror = pathlib.Path("bad-mirror")
            mirror.mkdir(exist_ok=True)
            archives = []
            for name, content in zip(small.ARCHIVES, files):
                (mirror / name).write_bytes(content)
                archives.append(small.Archive(name, hashlib.sha256(content).hexdigest(), len(content)))
            parts = ("train_images", "train_labels", "test_images", "test_labels")
            small.DATASETS["bad"] = dataclasses.replace(small.SMALL, name="bad", **dict(zip(parts, archives)))
        """
        (tmp_path / "bad_data.py").write_text(textwrap.dedent(module).format(damage=damage))
        result = run_luigi(
            "PrepareDataset",
            "--dataset=bad",
            "--DownloadDataset-mirrors=bad-mirror",
            module="bad_data",
            env={"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"},
            check=30,
        )
        assert what in last_line(result)
        assert str(run_luigi.directory / "work" / "archives" / "bad") in last_line(result)
        assert [] == names_in(run_luigi.directory / "work" / "datasets")


def test_what_a_killed_download_left_is_swept(run_luigi):
    """Killed after the last archive had its name, it left its folder, and does not run again: decoding sweeps it."""
    run_luigi("DownloadDataset", "--dataset=small", check=0)
    archives = run_luigi.directory / "work" / "archives" / "small"
    (archives / publishing.aside_name("t10k-labels", "0123abcd")).mkdir()
    run_luigi("PrepareDataset", "--dataset=small", check=0)
    assert 4 == len(names_in(archives))
