"""Models asked about many images: ours, somebody else's, and what gives no scores."""

import re

import numpy as np
import pytest

from tasks.errors import ExportFailed
from tasks.savedmodel import answers
from tasks.savedmodel.loaded_model import load_saved_model
from tests.savedmodel.versions import IMAGES, draw_weights, write, write_foreign


def test_scores_are_those_of_the_model(written):
    """Each split has the scores of its images; nothing is timed unless asked for."""
    scores, latencies = answers.ask(written / "cnn", {"validation": IMAGES[:7], "test": IMAGES}, classes=10)
    with load_saved_model(written / "cnn") as model:
        np.testing.assert_array_equal(model.predict(IMAGES), scores["test"])
        np.testing.assert_array_equal(model.predict(IMAGES[:7]), scores["validation"])
    assert {} == latencies


def test_requests_of_one_image_and_of_many_are_timed(written, monkeypatch):
    """Both sizes have a time, though there are fewer images than the larger takes; the larger takes longer."""
    monkeypatch.setattr(answers, "SECONDS", 0.05)
    _, latencies = answers.ask(written / "cnn", {}, classes=10, timed=IMAGES[:5])
    assert [1, 128] == list(latencies)
    assert 0 < latencies[1] < latencies[128] < 10


def test_a_model_made_elsewhere_is_asked_too(tmp_path):
    """One with shapes of unknown rank answers as well."""
    scores, _ = answers.ask(write_foreign(tmp_path / "9"), {"test": IMAGES}, classes=10)
    np.testing.assert_allclose(np.full((120, 10), 0.1), scores["test"], atol=1e-6)


def test_what_gives_no_scores_is_refused(tmp_path):
    """Another signature, other classes, no finite number: the error names the folder and what is missing."""
    with pytest.raises(ExportFailed, match="signature predict_images is missing"):
        answers.ask(write_foreign(tmp_path / "9", signature="ask_me"), {"test": IMAGES}, classes=10)
    weights = draw_weights("softmax")
    weights["biases"] = np.full(10, np.nan, np.float32)
    write(tmp_path / "8", "softmax", weights)
    with pytest.raises(ExportFailed, match="its answers are not 62 finite scores for each image"):
        answers.ask(write(tmp_path / "7"), {"test": IMAGES}, classes=62)
    message = f"{tmp_path / '8'}: its answers are not 10 finite scores for each image"
    with pytest.raises(ExportFailed, match=f"^{re.escape(message)}$"):
        answers.ask(tmp_path / "8", {"test": IMAGES}, classes=10)
