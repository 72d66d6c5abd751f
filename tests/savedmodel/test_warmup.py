"""Warm-up records: what is written, and what is found out by replaying them."""

import numpy as np
import pytest
import tensorflow as tf

from tasks.errors import ExportFailed
from tasks.recipes.recipe import MOST_WARMUP_RECORDS
from tasks.savedmodel import export as export_room
from tasks.savedmodel.loaded_model import load_saved_model
from tasks.savedmodel.prediction_requests import PredictionLog, predict_request, read_logs, write_logs
from tasks.savedmodel.warmup import WARMUP, replay_warmup, write_warmup
from tests import small
from tests.savedmodel.versions import draw_weights, export

IMAGES = small.make_images(20, seed=5)[0].reshape(-1, 784)


def _replay(directory):
    with load_saved_model(directory) as model:
        return replay_warmup(model)


def test_records_ask_both_signatures_and_a_larger_batch(exported):
    """Every version carries Predict with one image and with ten, and Classify."""
    first, second, third = read_logs(exported / "1" / WARMUP)
    shapes = [tf.make_ndarray(log.predict_log.request.inputs["images"]).shape for log in (first, second)]
    assert shapes == [(1, 784), (10, 784)]
    assert len(third.classify_log.request.input.example_list.examples) == 1
    assert first.predict_log.request.model_spec.signature_name == "predict_images"
    assert third.classify_log.request.model_spec.signature_name == "serving_default"


@pytest.mark.parametrize("records", [1, 2, 7, MOST_WARMUP_RECORDS])
def test_as_many_records_as_asked_for_are_replayed(tree, records):
    """The number of records is a setting; however many, the same images give the same bytes."""
    path = tree / "1" / WARMUP
    contents = []
    for _ in range(2):
        write_warmup(tree / "1", IMAGES, records)
        contents.append(path.read_bytes())
    assert contents[0] == contents[1]
    assert len(read_logs(path)) == records
    assert _replay(tree / "1") == []


def test_no_records_no_file(tree):
    """With 0 records a version has no warm-up file, and nothing to replay."""
    (tree / "1" / WARMUP).unlink()
    write_warmup(tree / "1", IMAGES, 0)
    assert not (tree / "1" / WARMUP).exists()
    assert _replay(tree / "1") == []


def test_a_file_that_is_none_is_refused(tree):
    """Garbage is named as such."""
    (tree / "1" / WARMUP).write_bytes(b"garbage" * 100)
    with pytest.raises(ExportFailed, match="tf_serving_warmup_requests: no TFRecord file: corrupted record at 0"):
        _replay(tree / "1")


def test_more_records_than_the_server_takes_are_refused(tree):
    """The server refuses the 1001st record, so nobody may publish it."""
    write_logs(tree / "1" / WARMUP, [PredictionLog()] * (MOST_WARMUP_RECORDS + 1))
    with pytest.raises(ExportFailed, match="1001 records; the server takes at most 1000"):
        _replay(tree / "1")


def test_a_record_that_fails_is_refused(tree):
    """A request that the model cannot answer is named with its number and kind."""
    log = PredictionLog()
    log.predict_log.request.CopyFrom(predict_request(np.zeros((1, 3), np.float32)))
    write_logs(tree / "1" / WARMUP, [PredictionLog(), log])
    with pytest.raises(ExportFailed, match=r"record 2 \(predict_log\) fails: Cannot feed value of shape \(1, 3\)"):
        _replay(tree / "1")


def test_what_is_not_replayed_is_told_and_stops_nothing(tree):
    """A foreign record of a kind that no version carries is passed over, and the records after it are replayed."""
    regress, failing = PredictionLog(), PredictionLog()
    regress.regress_log.SetInParent()
    failing.session_run_log.SetInParent()
    logs = read_logs(tree / "1" / WARMUP)
    write_logs(tree / "1" / WARMUP, [*logs[:2], regress, logs[2]])
    assert _replay(tree / "1") == [f"{WARMUP.as_posix()}: record 3 (regress_log): not replayed here"]
    write_logs(tree / "1" / WARMUP, [regress, failing])
    with pytest.raises(
        ExportFailed, match=r"record 2 \(session_run_log\) fails: the server replays no session_run_log"
    ):
        _replay(tree / "1")


def test_a_warm_up_that_fails_stops_the_export(tmp_path, monkeypatch):
    """Nothing is published with a warm-up that the server would fail on."""

    def write_nonsense(directory, *_):
        log = PredictionLog()
        log.classify_log.request.model_spec.signature_name = "serving_default"
        write_logs(directory / WARMUP, [log])

    monkeypatch.setattr(export_room, "write_warmup", write_nonsense)
    with pytest.raises(ExportFailed, match="fails: the input is empty"):
        export(tmp_path / "1", 1, "softmax", draw_weights("softmax"))
    assert not (tmp_path / "1" / "assets.extra" / "manifest.json").exists()
