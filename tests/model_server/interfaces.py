"""The server's gRPC and REST interfaces, as far as they are needed: `model_servers/`."""

import http.server
import json
import re
import threading
from concurrent import futures

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

State = get_model_status_pb2.ModelVersionStatus.State
UNKNOWN = 2
PATH = re.compile(r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?(?::(classify|predict))?")
CODES = {"NOT_FOUND": 404, "INVALID_ARGUMENT": 400}


class Refused(Exception):
    """What the server answers with: the name of a status code, and its message."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


def start(owner):
    """Answer on both ports; gives what ends it."""
    server = grpc.server(futures.ThreadPoolExecutor(8))
    servicer = Servicer(owner)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(servicer, server)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(servicer, server)
    grpc_port, rest_port = owner.ports
    owner.address = f"127.0.0.1:{server.add_insecure_port(f'127.0.0.1:{grpc_port}')}"
    server.start()
    handler = type("Handler", (RestHandler,), {"owner": owner})
    rest = http.server.ThreadingHTTPServer(("127.0.0.1", rest_port), handler)
    owner.url = f"http://127.0.0.1:{rest.server_address[1]}"
    thread = threading.Thread(target=rest.serve_forever, daemon=True)
    thread.start()

    def stop():
        rest.shutdown()
        rest.server_close()
        thread.join()
        server.stop(None).wait()

    return stop


def statuses(owner, name, version=None):
    """`get_model_status_impl.cc`: what the monitor has, the highest version first."""
    if owner.silent:
        owner.stopped.wait(60)
    response, known = get_model_status_pb2.GetModelStatusResponse(), owner.manager.monitor.of(name)
    for number, (state, error) in sorted(known.items(), reverse=True):
        if version in {None, number}:
            status = response.model_version_status.add(version=number, state=State.Value(state))
            status.status.error_message, status.status.error_code = error, UNKNOWN if error else 0
    if not response.model_version_status:
        what = "any versions" if version is None else f"version {version}"
        raise Refused("NOT_FOUND", f"Could not find {what} of model {name}")
    return response


def answer(owner, kind, request):
    """The response of the version that a request names, is labelled for, or gets."""
    number, model = owner.find(request.model_spec)
    try:
        response = getattr(model, kind)(request)
    except (ValueError, tf.errors.OpError) as error:
        raise Refused("INVALID_ARGUMENT", str(error)) from error
    response.model_spec.name = request.model_spec.name
    response.model_spec.version.value = number
    response.model_spec.signature_name = request.model_spec.signature_name
    return response


class Servicer(model_service_pb2_grpc.ModelServiceServicer, prediction_service_pb2_grpc.PredictionServiceServicer):
    """gRPC; the methods have gRPC's names."""

    def __init__(self, owner):
        self.owner = owner

    def GetModelStatus(self, request, context):  # noqa: N802
        version = request.model_spec.version.value if request.model_spec.HasField("version") else None
        return self._told(context, statuses, request.model_spec.name, version)

    def HandleReloadConfigRequest(self, request, context):  # noqa: N802
        """`model_service_impl.cc`: followed at once, or refused with the status of `ReloadConfig`."""
        self._told(context, lambda owner: owner.follow(request.config))
        return model_management_pb2.ReloadConfigResponse()

    def Predict(self, request, context):  # noqa: N802
        return self._told(context, answer, "predict", request)

    def Classify(self, request, context):  # noqa: N802
        return self._told(context, answer, "classify", request)

    def _told(self, context, function, *arguments):
        try:
            return function(self.owner, *arguments)
        except Refused as error:
            return context.abort(getattr(grpc.StatusCode, error.code), str(error))


class RestHandler(http.server.BaseHTTPRequestHandler):
    """REST, with the server's JSON (`http_rest_api_handler.cc`)."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        name, version, _, _ = self._asked()
        try:
            told = statuses(self.owner, name, int(version) if version else None).model_version_status
        except Refused as error:
            return self._send(CODES[error.code], {"error": str(error)})
        return self._send(
            200,
            {
                "model_version_status": [
                    {
                        "version": str(entry.version),
                        "state": State.Name(entry.state),
                        "status": {
                            "error_code": "UNKNOWN" if entry.status.error_message else "OK",
                            "error_message": entry.status.error_message,
                        },
                    }
                    for entry in told
                ]
            },
        )

    def do_POST(self):
        name, version, label, kind = self._asked()
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        request = predict_pb2.PredictRequest() if kind == "predict" else classification_pb2.ClassificationRequest()
        request.model_spec.name = name
        request.model_spec.signature_name = body.get("signature_name", "")
        if version:
            request.model_spec.version.value = int(version)
        elif label:
            request.model_spec.version_label = label
        try:
            if kind == "predict":
                _, model = self.owner.find(request.model_spec)
                (named,) = model.signature(request.model_spec.signature_name).inputs
                rows = np.array(body["instances"], np.float32)
                request.inputs[named].CopyFrom(tf.make_tensor_proto(rows))
                tensor = answer(self.owner, "predict", request).outputs["scores"]
                return self._send(200, {"predictions": tf.make_ndarray(tensor).tolist()})
            for sent in body["examples"]:
                features = request.input.example_list.examples.add().features.feature
                for feature, values in sent.items():
                    features[feature].float_list.value.extend(values)
            rows = answer(self.owner, "classify", request).result.classifications
        except Refused as error:
            return self._send(CODES[error.code], {"error": str(error)})
        return self._send(200, {"results": [[[entry.label, entry.score] for entry in row.classes] for row in rows]})

    def _asked(self):
        return PATH.fullmatch(self.path).groups()

    def _send(self, code, content):
        encoded = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(encoded)))
        self.end_headers()
        self.wfile.write(encoded)
