"""Golden answers: the same requests as JSON and as protobufs, with what the version answers."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from tasks.errors import ExportFailed
from tasks.savedmodel.golden import IMAGES, read_answers, replay_golden, response_rows
from tasks.savedmodel.loaded_model import load_saved_model
from tasks.savedmodel.prediction_requests import write_logs
from tasks.versions.golden import ANSWERS, GOLDEN, TOLERANCE, read_golden, score_difference
from tests.model_server import serve
from tests.savedmodel.versions import MODELS, draw_weights, expected_scores, export


def _read(directory, name):
    return json.loads((directory / GOLDEN / name).read_text())


@pytest.mark.parametrize("version", MODELS)
def test_answers_are_the_scores_of_the_weights(exported, weights, version):
    """The JSON request and the expected answer beside it belong together, for both signatures."""
    directory, model = exported / str(version), MODELS[version]
    request = _read(directory, "predict.json")
    assert request["signature_name"] == "predict_images"
    images = np.array(request["instances"], np.float32)
    assert images.shape == (IMAGES, 784)
    expected = expected_scores(model, weights[model], images)
    np.testing.assert_allclose(_read(directory, "predict.expected.json")["predictions"], expected, atol=1e-6)

    classify = _read(directory, "classify.json")
    assert classify["signature_name"] == "serving_default"
    assert [example["x"] for example in classify["examples"]] == request["instances"]
    for row, scores in zip(_read(directory, "classify.expected.json")["results"], expected, strict=True):
        np.testing.assert_allclose([score for _, score in row], [scores[int(label)] for label, _ in row], atol=1e-6)


def test_json_and_protobuf_hold_the_same_numbers(exported):
    """What curl sends and what gRPC sends are the same float32 numbers, each with a decimal point."""
    predict, classify = read_answers(exported / "1")
    images = tf.make_ndarray(predict.predict_log.request.inputs["images"])
    rows = _read(exported / "1", "predict.json")["instances"]
    np.testing.assert_array_equal(np.array(rows, np.float32), images)
    assert all(isinstance(value, float) for row in rows for value in row)
    example = classify.classify_log.request.input.example_list.examples[0]
    np.testing.assert_array_equal(example.features.feature["x"].float_list.value, images[0])


@pytest.mark.parametrize("version", MODELS)
def test_a_server_gives_the_golden_answers(exported, version):
    """Over gRPC a running server answers the golden requests within the tolerance."""
    predict, classify = read_answers(exported / str(version))
    with serve(exported) as stub:
        for log, ask in ((predict.predict_log, stub.Predict), (classify.classify_log, stub.Classify)):
            request = log.request
            request.model_spec.name = "mnist"
            request.model_spec.version.value = version
            found = ask(request, timeout=10)
            assert score_difference(response_rows(log.response), response_rows(found)) <= TOLERANCE


def test_another_model_gives_other_answers(exported, tree):
    """The golden answers of one version do not pass for those of another."""
    shutil.copy(exported / "2" / ANSWERS, tree / "1" / ANSWERS)
    with load_saved_model(tree / "1") as model, pytest.raises(ExportFailed, match=r"differ by 0\.[0-9]+, allowed is"):
        replay_golden(model)


@pytest.mark.parametrize("version", MODELS)
def test_json_and_protobuf_hold_the_same_answers(exported, version):
    """The rows of the protobufs are those of the JSON files, to the last digit."""
    golden = read_golden(exported / str(version))
    predict, classify = read_answers(exported / str(version))
    assert golden["predict"][1] == response_rows(predict.predict_log.response)
    assert golden["classify"][1] == response_rows(classify.classify_log.response)


def test_a_response_without_scores_is_no_answer(exported):
    """Missing scores, scores that are no tensor and scores of another rank are refused with the reason."""
    response = read_answers(exported / "1")[0].predict_log.response
    response.outputs["scores"].CopyFrom(tf.make_tensor_proto([0.5]))
    with pytest.raises(ValueError, match=r"^its scores have the shape \[1\]$"):
        response_rows(response)
    response.outputs["scores"].dtype = 0
    with pytest.raises(ValueError, match=r"^its scores are not a tensor: "):
        response_rows(response)
    del response.outputs["scores"]
    with pytest.raises(ValueError, match=r"^it has no scores$"):
        response_rows(response)


def test_a_damaged_file_is_named(tree):
    """What cannot be read is named; a version without golden answers has none."""
    (tree / "1" / ANSWERS).write_bytes(b"no record")
    with pytest.raises(ExportFailed, match=r"answers.tfrecord: no TFRecord file"):
        read_answers(tree / "1")
    (tree / "1" / ANSWERS).unlink()
    assert read_answers(tree / "1") == []


def test_the_same_weights_give_the_same_bytes(tmp_path):
    """Two exports of the same weights are equal in every file, warm-up and golden answers included."""
    weights = draw_weights("softmax")
    for name in ("a", "b"):
        export(tmp_path / name / "1", 1, "softmax", weights)
    files = [
        {
            path.relative_to(tmp_path / name): path.read_bytes()
            for path in (tmp_path / name).rglob("*")
            if path.is_file()
        }
        for name in ("a", "b")
    ]
    assert files[0] == files[1]


def test_a_golden_request_that_fails_is_told(tree):
    """A request that the model cannot answer is no small difference either."""
    predict, classify = read_answers(tree / "1")
    predict.predict_log.request.model_spec.signature_name = "gone"
    write_logs(tree / "1" / ANSWERS, [predict, classify])
    with (
        load_saved_model(tree / "1") as model,
        pytest.raises(ExportFailed, match="fails: there is no signature 'gone'"),
    ):
        replay_golden(model)
