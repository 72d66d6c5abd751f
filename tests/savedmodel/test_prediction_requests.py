"""Requests, and the files that hold them."""

import numpy as np
import pytest
import tensorflow as tf

from tasks.errors import ExportFailed
from tasks.savedmodel.prediction_requests import (
    PredictionLog,
    classify_request,
    predict_request,
    read_logs,
    write_logs,
)
from tests import disks


def test_predict_sends_images_as_one_tensor(images):
    """The signature is `predict_images`, its input a float32 tensor [n, 784]; the model's name is left open."""
    request = predict_request(images)
    assert (request.model_spec.name, request.model_spec.signature_name) == ("", "predict_images")
    assert list(request.inputs) == ["images"]
    np.testing.assert_array_equal(tf.make_ndarray(request.inputs["images"]), images)


def test_classify_sends_one_example_an_image(images):
    """The signature is `serving_default`, the feature `x` carries the floats unchanged."""
    request = classify_request(images)
    assert (request.model_spec.name, request.model_spec.signature_name) == ("", "serving_default")
    sent = [example.features.feature["x"].float_list.value for example in request.input.example_list.examples]
    np.testing.assert_array_equal(np.array(sent, np.float32), images)


@pytest.fixture
def logs(images):
    """A Predict, a Classify, and a record that asks for nothing."""
    predict, classify = PredictionLog(), PredictionLog()
    predict.predict_log.request.CopyFrom(predict_request(images[:2]))
    classify.classify_log.request.CopyFrom(classify_request(images[:2]))
    return [predict, classify, PredictionLog()]


def test_what_is_written_is_read(logs, tmp_path):
    """Records come back in their order, and the same records are the same bytes; the folder is made."""
    first, second = tmp_path / "new" / "a", tmp_path / "b"
    for path in (first, second):
        write_logs(path, logs)
    assert read_logs(first) == logs
    assert first.read_bytes() == second.read_bytes()


def test_an_empty_file_holds_nothing(tmp_path):
    """No records are no error, neither written nor read, and neither is a file that is not there."""
    write_logs(tmp_path / "none", [])
    assert read_logs(tmp_path / "none") == read_logs(tmp_path / "missing") == []


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda _: b"garbage" * 100, r"/logs: no TFRecord file: corrupted record at 0"),
        (lambda content: content[:-10], r"/logs: no TFRecord file: truncated record at"),
        (lambda _: b"short", r"/logs: no TFRecord file: too short for a record$"),
    ],
)
def test_a_damaged_file_is_refused(logs, tmp_path, damage, reason):
    """Garbage, a record without its end, and less than the header of a record are told apart."""
    write_logs(tmp_path / "logs", logs[:2])
    (tmp_path / "logs").write_bytes(damage((tmp_path / "logs").read_bytes()))
    with pytest.raises(ExportFailed, match=reason):
        read_logs(tmp_path / "logs")


def test_a_record_of_something_else_is_refused(logs, tmp_path):
    """A TFRecord file that holds other messages is named with the record."""
    with tf.io.TFRecordWriter(str(tmp_path / "logs")) as writer:
        writer.write(logs[0].SerializeToString())
        writer.write(b"\xff\xff\xff")
    with pytest.raises(ExportFailed, match=r"/logs: record 2 is no PredictionLog \("):
        read_logs(tmp_path / "logs")


def test_a_full_disk_is_told(logs, tmp_path):
    """A disk that takes no more is the error of the system that it is."""
    with disks.mounted(tmp_path / "disk", size=1 << 14) as disk, pytest.raises(OSError, match="No space left"):
        write_logs(disk / "logs", logs * 10)
