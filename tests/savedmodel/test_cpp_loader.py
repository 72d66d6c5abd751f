"""The C++ loader: through ctypes, and through a C program that shares nothing with it."""

import shutil
import subprocess
from pathlib import Path

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from tasks.errors import ExportFailed
from tasks.savedmodel.cpp_loader import check_loads, load_by_c, read_meta_graph


@pytest.fixture(scope="session")
def c_program(tmp_path_factory):
    """`load_saved_model.c`, compiled against the package's headers; skipped without gcc."""
    if not shutil.which("gcc"):
        pytest.skip("gcc is not on the PATH")
    package = Path(tf.sysconfig.get_lib())
    program = tmp_path_factory.mktemp("c") / "load_saved_model"
    library = next(iter(package.glob("libtensorflow_cc.so*")))
    framework = next(iter(package.glob("libtensorflow_framework.so*")))
    source = Path(__file__).with_name("load_saved_model.c")
    linker = ["-fuse-ld=gold"] if shutil.which("ld.gold") else []  # 2 s instead of 10 s
    subprocess.run(
        ["gcc", *linker, "-Wall", "-Werror", f"-I{tf.sysconfig.get_include()}", "-o", program, source, library,
         framework, f"-Wl,-rpath,{package}"],
        check=True,
        timeout=300,  # the library has a million symbols
    )  # fmt: skip
    return program


def _run(program, directory):
    return subprocess.run(
        [program, directory], capture_output=True, text=True, timeout=60, check=False, env={"TF_CPP_MIN_LOG_LEVEL": "3"}
    )


@pytest.mark.parametrize("version", [1, 2])
def test_every_version_loads(exported, version):
    """What is exported loads by the server's loader."""
    check_loads(exported / str(version))


def _cut_pb(directory):
    path = directory / "saved_model.pb"
    path.write_bytes(path.read_bytes()[:-100])


def _cut_data(directory):
    path = next(iter((directory / "variables").glob("variables.data*")))
    path.write_bytes(path.read_bytes()[:-100])


def _no_pb(directory):
    (directory / "saved_model.pb").unlink()


@pytest.mark.parametrize(
    ("break_it", "said"),
    [(_cut_pb, "OUT_OF_RANGE: "), (_cut_data, "OUT_OF_RANGE: "), (_no_pb, "NOT_FOUND: Could not find SavedModel")],
)
def test_the_error_is_what_the_loader_said(tree, c_program, break_it, said):
    """A damaged version fails in one line with the loader's own words, and a plain C program fails alike."""
    break_it(tree / "1")
    with pytest.raises(ExportFailed) as failure:
        check_loads(tree / "1")
    assert f"{tree / '1'}: TensorFlow's C++ loader says {said}" in str(failure.value)
    assert len(str(failure.value).splitlines()) == 1
    result = _run(c_program, tree / "1")
    assert result.returncode == 1
    assert result.stdout.splitlines()[0] == load_by_c(tree / "1", ["serve"]).partition(": ")[2]


def test_a_c_program_loads_every_version(exported, c_program):
    """A program that knows no Python loads what is exported."""
    for version in (1, 2):
        result = _run(c_program, exported / str(version))
        assert (result.returncode, result.stdout) == (0, "loaded\n")


def test_a_missing_index_is_found_though_the_loader_overlooks_it(tree, c_program):
    """Without variables.index the C++ loader succeeds; the check does not."""
    (tree / "1" / "variables" / "variables.index").unlink()
    assert load_by_c(tree / "1", ["serve"]) is None
    assert _run(c_program, tree / "1").returncode == 0
    with pytest.raises(ExportFailed, match=r"variables\.index is missing; the server would load it, and every request"):
        check_loads(tree / "1")


def test_other_tags_are_not_found(exported):
    """The loader is asked for the tags that it is given."""
    assert "NOT_FOUND" in load_by_c(exported / "1", ["serve", "gpu"])


def test_a_graph_for_something_else_is_named(tree):
    """A SavedModel that nobody tagged for serving has no graph to read; the tags that it has are named."""
    path = tree / "1" / "saved_model.pb"
    saved_model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    saved_model.meta_graphs[0].meta_info_def.tags[:] = ["train"]
    path.write_bytes(saved_model.SerializeToString())
    for refuse in (read_meta_graph, check_loads):
        with pytest.raises(ExportFailed, match=r"no graph with the tags serve, .*; there are: train$"):
            refuse(tree / "1")
