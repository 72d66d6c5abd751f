"""A real gRPC server on loopback that speaks the tutorial's protocol and serves the versions of a base path."""

import contextlib
from concurrent import futures

import grpc
from tensorflow_serving.apis import prediction_log_pb2, prediction_service_pb2_grpc

from tasks.savedmodel.loaded_model import load_saved_model
from tasks.savedmodel.replay import answer
from tasks.versions.tree import served_names


class Servicer(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Answers with the version that a request names, or with the newest."""

    def __init__(self, models):
        self.models = models

    def Predict(self, request, context):  # noqa: N802 - the service's own name
        return self._answer("predict_log", request, context)

    def Classify(self, request, context):  # noqa: N802 - likewise
        return self._answer("classify_log", request, context)

    def _answer(self, kind, request, context):
        version = request.model_spec.version.value or max(self.models)
        if request.model_spec.name != "mnist" or version not in self.models:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: {request.model_spec}")
        log = prediction_log_pb2.PredictionLog()
        getattr(log, kind).request.CopyFrom(request)
        try:
            response = getattr(answer(self.models[version], log), kind).response
        except ValueError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        response.model_spec.name = "mnist"
        response.model_spec.version.value = version
        response.model_spec.signature_name = request.model_spec.signature_name
        return response


@contextlib.contextmanager
def serve(base_path):
    """Serve every version in `base_path` as model `mnist`; gives a stub that is connected to it."""
    with contextlib.ExitStack() as stack:
        models = {
            version: stack.enter_context(load_saved_model(base_path / name))
            for version, name in served_names(base_path).items()
        }
        server = grpc.server(futures.ThreadPoolExecutor(2))
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Servicer(models), server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        stack.callback(lambda: server.stop(None).wait())
        channel = stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{port}"))
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)
