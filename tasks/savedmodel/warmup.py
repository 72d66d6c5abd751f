"""Warm-up: requests that the server replays before it says that a version is available.

So the first client does not pay for what TensorFlow sets up on the first request. The server takes at most 1000
records, and one that fails makes the whole version fail; so what is written is replayed here before it is published.
"""

from collections.abc import Iterable
from itertools import chain, cycle, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.errors import ExportFailed
from tasks.recipes.recipe import MOST_WARMUP_RECORDS
from tasks.savedmodel.loaded_model import LoadedModel
from tasks.savedmodel.prediction_requests import PredictionLog, classify_request, predict_request, read_logs, write_logs
from tasks.savedmodel.replay import answer, can_replay
from tasks.savedmodel.signatures import CLASSIFY_SIGNATURE, PREDICT_SIGNATURE, as_floats

WARMUP = Path("assets.extra", "tf_serving_warmup_requests")
LARGER_BATCH = 10


def write_warmup(directory: Path, images: NDArray[np.uint8], records: int, own_signatures: Iterable[str] = ()) -> None:
    """Write that many records from images uint8 [n, 784]; none, no file.

    In turn: Predict with one image, Predict with ten, Classify with one, and Predict with one on each signature of the
    model's own; each with the next images.
    """
    if not records:
        return
    floats = chain.from_iterable(cycle([as_floats(images[:MOST_WARMUP_RECORDS])]))

    def take(count: int) -> NDArray[np.float32]:
        return np.stack(list(islice(floats, count)))  # (count, 784)

    kinds = [(PREDICT_SIGNATURE, 1), (PREDICT_SIGNATURE, LARGER_BATCH), (CLASSIFY_SIGNATURE, 1)]
    logs = []
    for signature, count in islice(cycle([*kinds, *((name, 1) for name in own_signatures)]), records):
        if signature == CLASSIFY_SIGNATURE:
            logs.append(PredictionLog(classify_log={"request": classify_request(take(count))}))
        else:
            logs.append(PredictionLog(predict_log={"request": predict_request(take(count), signature)}))
    write_logs(directory / WARMUP, logs)


def replay_warmup(model: LoadedModel) -> list[str]:
    """Do with a version's warm-up file, if it has one, what the server does; raises ExportFailed where it fails.

    Returns a line for each record that the server replays and this does not: see `can_replay`.
    """
    path, left_out = model.directory / WARMUP, []
    logs = read_logs(path)
    if len(logs) > MOST_WARMUP_RECORDS:
        raise ExportFailed(f"{path}: {len(logs)} records; the server takes at most {MOST_WARMUP_RECORDS}")
    for number, log in enumerate(logs, 1):
        record = f"record {number} ({log.WhichOneof('log_type')})"
        if not can_replay(log):
            left_out.append(f"{WARMUP.as_posix()}: {record}: not replayed here")
            continue
        try:
            answer(model, log)
        except ValueError as error:
            raise ExportFailed(f"{path}: {record} fails: {error}") from error
    return left_out
