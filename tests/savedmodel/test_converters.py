"""Other programs that read SavedModels: each gives the scores of `predict_images` if that is named.

docs/publishing.md has a row for each, with what it needs; what does not come with TensorFlow runs in a process of its
own.
"""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import BIN, ROOT
from tests.savedmodel.versions import MODELS, expected_scores

pytestmark = pytest.mark.long

LITE = "ignore:.*tf.lite.Interpreter is deprecated:UserWarning"  # there is no other in TensorFlow 2.21
BOTH = pytest.mark.parametrize("version", MODELS)
PAGE = (ROOT / "docs" / "publishing.md").read_text(encoding="utf-8")


def needs(program, arguments):
    """Make sure that the row of a program shows these arguments, and hand them out."""
    assert f"| {program} | `{arguments}` |" in PAGE
    return arguments


def check_scores(found, weights, images, version):
    """Make sure that these are the network's scores, to the last digits."""
    np.testing.assert_allclose(found, expected_scores(MODELS[version], weights[MODELS[version]], images), atol=1e-5)


def run(*command, home, **options):
    return subprocess.run(
        [str(word) for word in command],
        env={**os.environ, "HOME": str(home), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        **options,
    )


def test_saved_model_cli(exported, weights, images, tmp_path):
    """`saved_model_cli run` knows no default, neither for the tag nor for the signature."""
    np.save(tmp_path / "images.npy", images)
    arguments = needs("saved_model_cli", "--tag_set serve --signature_def predict_images").split()
    command = [BIN / "saved_model_cli", "run", "--dir", exported / "2"]
    inputs = [f"--inputs=images={tmp_path / 'images.npy'}", "--outdir", tmp_path]
    result = run(*command, *arguments, *inputs, home=tmp_path)
    assert result.returncode == 0, result.stderr
    check_scores(np.load(tmp_path / "scores.npy"), weights, images, 2)
    assert "Flag --signature_def must have a value" in run(*command, *inputs, home=tmp_path).stderr


@BOTH
def test_saved_model_load(exported, weights, images, version):
    """`tf.saved_model.load` gives functions by the names of the signatures; the default one parses examples."""
    needs("tf.saved_model.load", 'signatures["predict_images"]')
    signatures = tf.saved_model.load(str(exported / str(version))).signatures
    check_scores(signatures["predict_images"](images=tf.constant(images))["scores"], weights, images, version)
    with pytest.raises(tf.errors.InvalidArgumentError, match="expected to be a string tensor but is a float tensor"):
        signatures["serving_default"](tf.constant(images))


@BOTH
def test_keras(exported, weights, images, version):
    """A TFSMLayer calls an endpoint; the one that it takes by itself is Keras's own."""
    needs("keras.layers.TFSMLayer", 'call_endpoint="predict_images"')
    layer = keras.layers.TFSMLayer(str(exported / str(version)), call_endpoint="predict_images")
    inputs = keras.Input((784,))
    model = keras.Model(inputs, layer(inputs))
    check_scores(model.predict(images, verbose=0)["scores"], weights, images, version)
    with pytest.raises(ValueError, match="The endpoint 'serve' is neither an attribute"):
        keras.layers.TFSMLayer(str(exported / str(version)))


@pytest.mark.filterwarnings(LITE)
@BOTH
def test_tensorflow_lite(exported, weights, images, version):
    """TensorFlow Lite converts every signature that it is not told to leave out, and has no op that parses examples."""
    needs("tf.lite.TFLiteConverter.from_saved_model", 'signature_keys=["predict_images"]')
    directory = str(exported / str(version))
    converted = tf.lite.TFLiteConverter.from_saved_model(directory, signature_keys=["predict_images"]).convert()
    runner = tf.lite.Interpreter(model_content=converted).get_signature_runner("predict_images")
    check_scores(runner(images=images)["scores"], weights, images, version)
    with pytest.raises(Exception, match=r"'tf.ParseExampleV2' op is neither a custom op nor a flex op"):
        tf.lite.TFLiteConverter.from_saved_model(directory).convert()


@pytest.fixture(scope="module")
def onnx(exported, tmp_path_factory):
    """The CNN as tf2onnx converts it."""
    arguments = needs("tf2onnx", "--signature_def predict_images --tag serve").split()
    directory = tmp_path_factory.mktemp("onnx")
    command = [sys.executable, "-m", "tf2onnx.convert", "--saved-model", exported / "2", "--output"]
    result = run(*command, directory / "cnn.onnx", *arguments, home=directory)
    assert result.returncode == 0, result.stderr
    return directory / "cnn.onnx"


def test_onnx(onnx, weights, images):
    """What tf2onnx made of the signature gives the scores in the ONNX Runtime."""
    import onnxruntime  # here, as it takes its time

    session = onnxruntime.InferenceSession(onnx)
    (scores,) = session.run(["scores"], {"images": images})
    check_scores(scores, weights, images, 2)


OPENVINO = """
import sys
import numpy as np
import openvino
import tensorflow as tf
saved_model, onnx, images, scores = sys.argv[1:]
try:
    openvino.convert_model(saved_model)
except Exception as error:
    print(error)
signature = tf.saved_model.load(saved_model).signatures["predict_images"]
for model in (openvino.convert_model(signature), onnx):
    compiled = openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    np.save(scores, compiled(np.load(images))["scores"])
    scores += ".onnx.npy"
"""


def test_openvino(exported, onnx, weights, images, tmp_path):
    """OpenVINO converts every signature of a folder, and cannot parse examples; a loaded signature, or ONNX, it can."""
    needs("OpenVINO", 'openvino.convert_model(tf.saved_model.load(folder).signatures["predict_images"])')
    (tmp_path / "intel").mkdir()
    (tmp_path / "intel" / "openvino_telemetry").write_text("0")  # as `opt_in_out --opt_out` does: it tells nobody of us
    np.save(tmp_path / "images.npy", images)
    scores = tmp_path / "scores.npy"
    arguments = [exported / "2", onnx, tmp_path / "images.npy", scores]
    result = run(sys.executable, "-c", OPENVINO, *arguments, home=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "No conversion rule found for operations: ParseExampleV2" in result.stdout
    check_scores(np.load(scores), weights, images, 2)
    check_scores(np.load(f"{scores}.onnx.npy"), weights, images, 2)
