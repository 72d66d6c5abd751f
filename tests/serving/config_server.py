"""A model server on loopback, gRPC and REST, that follows its config file by the rules of TensorFlow Serving.

What it does is what `ServerCore::ReloadConfig` and `UpdateModelVersionLabelMap` (server_core.cc) do: the file is read
at every poll; labels are checked before versions are loaded, and a label that points at a version that is not
AVAILABLE makes it refuse the whole file, at its start too; with `allow_new_labels` (the server's
--allow_version_labels_for_unavailable_models) a label that is new, or stays where it is, may point anywhere.
"""

import http.server
import json
import threading
import time
from concurrent import futures
from pathlib import Path

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)
from tensorflow_serving.config import model_server_config_pb2

from tasks.savedmodel import prediction_requests, replay
from tasks.savedmodel.loaded_model import LoadedModel
from tasks.versions.tree import served_names

State = get_model_status_pb2.ModelVersionStatus.State


class Refused(Exception):
    """A config that the server does not follow."""


class Version:
    """One version in the server: loaded `load_seconds` after it was first seen."""

    def __init__(self, directory, load_seconds):
        self.since = time.monotonic()
        self.ready = self.since + load_seconds
        self.state, self.error, self.model = State.LOADING, "", None
        self.directory = directory

    def advance(self):
        if self.state == State.LOADING and time.monotonic() >= self.ready:
            try:
                self.model = load(self.directory)
                self.state = State.AVAILABLE
            except Exception as error:  # noqa: BLE001 - whatever it is, the server tells it
                self.state, self.error = State.END, f"failed to load: {error}"

    def end(self):
        if self.model is not None:
            self.model.session.close()
        self.state, self.model = State.END, None


def load(directory):
    """A model whose session outlives the thread that loads it."""
    session = tf.compat.v1.Session(graph=tf.Graph())
    with session.graph.as_default():
        loaded = tf.compat.v1.saved_model.loader.load(session, ["serve"], str(directory))
    return LoadedModel(directory, session, dict(loaded.signature_def))


class ConfigServer:
    """Start it with `with`; `refusals` are the messages that a real server would write to its log."""

    def __init__(self, config_path, *, load_seconds=0.3, poll_seconds=0.1, allow_new_labels=False, silent=False):
        self.config_path = Path(config_path)
        self.load_seconds, self.poll_seconds, self.allow_new_labels = load_seconds, poll_seconds, allow_new_labels
        self.silent = silent
        self.versions, self.labels, self.refusals = {}, {}, []
        self.lock, self.stopped = threading.RLock(), threading.Event()

    def __enter__(self):
        self.reload()
        self.grpc_server = grpc.server(futures.ThreadPoolExecutor(4))
        servicer = Servicer(self)
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(servicer, self.grpc_server)
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(servicer, self.grpc_server)
        self.address = f"127.0.0.1:{self.grpc_server.add_insecure_port('127.0.0.1:0')}"
        self.grpc_server.start()
        handler = type("Handler", (RestHandler,), {"servicer": servicer, "owner": self})
        self.http_server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.http_server.server_address[1]}"
        self.threads = [
            threading.Thread(target=self.http_server.serve_forever, daemon=True),
            threading.Thread(target=self.poll, daemon=True),
        ]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.http_server.shutdown()
        self.http_server.server_close()
        self.grpc_server.stop(None).wait()
        for thread in self.threads:
            thread.join()
        for version in self.versions.values():
            version.end()

    def poll(self):
        while not self.stopped.wait(self.poll_seconds):
            try:
                self.reload()
            except (Refused, text_format.ParseError, OSError) as error:
                self.refusals.append(str(error))

    def reload(self):
        """Read the config file and follow it; raises Refused, and then changes nothing."""
        config = text_format.Parse(self.config_path.read_text(), model_server_config_pb2.ModelServerConfig())
        with self.lock:
            models = config.model_config_list.config
            if len({model.name for model in models}) < len(models):
                raise Refused("Illegal to list model multiple times in config list")
            for version in self.versions.values():
                version.advance()
            new_labels = {}
            for model in models:
                if not Path(model.base_path).is_absolute():
                    raise Refused(f"Expected model {model.name} to have an absolute path")
                for label, version in model.version_labels.items():
                    known = self.labels.get((model.name, label))
                    excused = self.allow_new_labels and known in {None, version}
                    if not excused and self.state(model.name, version) != State.AVAILABLE:
                        raise Refused(
                            f"Request to assign label to version {version} of model {model.name}, "
                            "which is not currently available for inference"
                        )
                    new_labels[model.name, label] = version
            self.labels = new_labels
            for model in models:
                self.aspire(model)

    def aspire(self, model):
        tree = {number: Path(model.base_path) / name for number, name in served_names(Path(model.base_path)).items()}
        policy = model.model_version_policy
        choice = policy.WhichOneof("policy_choice")
        if choice == "all":
            wanted = set(tree)
        elif choice == "specific":
            wanted = set(policy.specific.versions) & set(tree)
        else:
            wanted = set(sorted(tree)[-(policy.latest.num_versions or 1) :])
        for (name, number), version in self.versions.items():
            if name == model.name and number not in wanted and version.state != State.END:
                version.end()
        for number in wanted:
            known = self.versions.get((model.name, number))
            if known is None or (known.state == State.END and not known.error):
                self.versions[model.name, number] = Version(tree[number], self.load_seconds)

    def state(self, name, number):
        version = self.versions.get((name, number))
        return version.state if version else None

    def serving(self, name="mnist"):
        """The versions that are available."""
        with self.lock:
            return sorted(n for (model, n), v in self.versions.items() if model == name and v.state == State.AVAILABLE)


class Servicer(model_service_pb2_grpc.ModelServiceServicer, prediction_service_pb2_grpc.PredictionServiceServicer):
    """Its gRPC interface."""

    def __init__(self, owner):
        self.owner = owner

    def GetModelStatus(self, request, context):  # noqa: N802 - gRPC's name
        if self.owner.silent:
            self.owner.stopped.wait(60)
        response = get_model_status_pb2.GetModelStatusResponse()
        with self.owner.lock:
            for (name, number), version in sorted(self.owner.versions.items()):
                if name == request.model_spec.name:
                    status = response.model_version_status.add(version=number, state=version.state)
                    status.status.error_message = version.error
                    status.status.error_code = 2 if version.error else 0
        if not response.model_version_status:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Could not find any versions of model {request.model_spec.name}")
        return response

    def Predict(self, request, context):  # noqa: N802 - gRPC's name
        return self.answer("predict_log", request, context)

    def Classify(self, request, context):  # noqa: N802 - gRPC's name
        return self.answer("classify_log", request, context)

    def answer(self, kind, request, context):
        spec = request.model_spec
        with self.owner.lock:
            number = spec.version.value
            if spec.version_label:
                number = self.owner.labels.get((spec.name, spec.version_label))
                if number is None:
                    context.abort(
                        grpc.StatusCode.INVALID_ARGUMENT, f"Unrecognized servable version label: {spec.version_label}"
                    )
            number = number or max(self.owner.serving(spec.name), default=0)
            version = self.owner.versions.get((spec.name, number))
            if version is None or version.model is None:
                context.abort(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: Specific({number})")
            log = prediction_log_pb2.PredictionLog()
            getattr(log, kind).request.CopyFrom(request)
            response = getattr(replay.answer(version.model, log), kind).response
        response.model_spec.name = spec.name
        response.model_spec.version.value = number
        return response


class RestHandler(http.server.BaseHTTPRequestHandler):
    """Its REST interface, as far as it is needed here."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        if self.owner.silent:
            self.owner.stopped.wait(60)
        name = self.path.removeprefix("/v1/models/")
        with self.owner.lock:
            statuses = [
                {
                    "version": str(number),
                    "state": State.Name(version.state),
                    "status": {"error_code": "UNKNOWN" if version.error else "OK", "error_message": version.error},
                }
                for (model, number), version in sorted(self.owner.versions.items())
                if model == name
            ]
        if statuses:
            self.send(200, {"model_version_status": statuses})
        else:
            self.send(404, {"error": f"Could not find any versions of model {name}"})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        path, kind = self.path.split(":")
        _, _, _, name, *rest = path.split("/")
        number = rest[-1] if rest else 0  # the newest
        rows = body["instances"] if kind == "predict" else [example["x"] for example in body["examples"]]
        images = np.array(rows, np.float32)
        request = (
            prediction_requests.predict_request(images)
            if kind == "predict"
            else prediction_requests.classify_request(images)
        )
        request.model_spec.name = name
        request.model_spec.version.value = int(number)
        try:
            response = self.servicer.answer(f"{kind}_log", request, self)
        except Refused as error:
            return self.send(404, {"error": str(error)})
        if kind == "predict":
            return self.send(200, {"predictions": tf.make_ndarray(response.outputs["scores"]).tolist()})
        results = [[[c.label, c.score] for c in row.classes] for row in response.result.classifications]
        return self.send(200, {"results": results})

    def abort(self, _, message):
        raise Refused(message)

    def send(self, code, content):
        encoded = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(encoded)))
        self.end_headers()
        self.wfile.write(encoded)
