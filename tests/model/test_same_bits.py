"""The golden record: the digests of weights that every x86-64 processor with AVX2 must give.

Made on an AMD EPYC with AVX-512; the softmax versions of real MNIST are those of an AMD EPYC without it as well.
"""

import json
import os
import subprocess
import sys

import pytest

from tasks.errors import UnfitProcessor
from tasks.model.tensorflow_setup import check_processor
from tests.conftest import ROOT

XLA = "--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit"
RECORD = {
    "softmax, 1 thread": "47b66b4d9ce01f5d4ead15add478c2a3128e1ba4227e27b9895e893f6ce1c637",
    "cnn, 1 thread": "4ea661ab3031633899f9bc75440f8800adf5e63783e7f57b90fbab57b1b80569",
    "softmax, 2 threads": "47b66b4d9ce01f5d4ead15add478c2a3128e1ba4227e27b9895e893f6ce1c637",
    "cnn, 2 threads": "5f0f9df228bc2d18be50646b18cf3cea7a2a3c09ecee8019ffd218818fcccc42",
}

TRAIN = """
import hashlib, json
from pathlib import Path
from tasks.data import arrays, digits
from tasks.data.dataset import DIGITS
from tasks.execution import calls
from tasks.execution.computations import train_segment
from tasks.model import optimizers
from tasks.model.architectures import find_architecture
from tasks.recipes.recipe import KEYS, Recipe

digits.write_archives(DIGITS, Path("archives"))
Path("arrays").mkdir()
arrays.write_arrays(DIGITS, Path("archives"), Path("arrays"))
found = {}
for threads in (1, 2):
    for model, iterations in (("softmax", 200), ("cnn", 30)):
        own = find_architecture(model)
        recipe = Recipe(**{
            **{name: key.default for name, key in KEYS.items()}, "dataset": "digits", "model": model,
            "training_iteration": iterations, "threads": threads, "schedule": "cosine",
            "optimizer": own.optimizer, "learning_rate": own.learning_rate,
        })
        directory = Path(f"{model}-{threads}")
        directory.mkdir()
        calls.run(train_segment, directory, recipe, Path("arrays"), total_iterations=iterations, start=0, previous=None,
                  threads=threads, report=lambda *_: None)
        digest = hashlib.sha256((directory / "state.npz").read_bytes()).hexdigest()
        found[f"{model}, {threads} thread{'s' if threads > 1 else ''}"] = digest
print(json.dumps(found))
"""


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"TF_ENABLE_ONEDNN_OPTS": "1", "ONEDNN_MAX_CPU_ISA": "SSE41", "CUDA_VISIBLE_DEVICES": "0", "TF_XLA_FLAGS": XLA},
    ],
    ids=["plain", "hostile"],
)
def test_the_weights_are_those_of_the_record(tmp_path, environment):
    """Whatever the user's environment says, this processor gives the bits of all others."""
    result = subprocess.run(
        [sys.executable, "-c", TRAIN],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == result.returncode, result.stderr
    assert RECORD == json.loads(result.stdout)


@pytest.mark.parametrize(
    ("machine", "described"), [("aarch64", "flags : avx2 fma"), ("x86_64", "flags : sse4_2 avx avx2_not fma")]
)
def test_another_processor_is_refused(machine, described):
    """One whose bits would be its own is named in one line, with what is needed."""
    with pytest.raises(UnfitProcessor, match=rf"^this processor \({machine}\) has no AVX2: .*; run on an x86-64 "):
        check_processor(machine, described)
    check_processor("x86_64", "flags\t\t: sse4_2 avx avx2 fma\n")
    check_processor("x86_64", "flags\t\t: sse4_2 avx avx2\n")
