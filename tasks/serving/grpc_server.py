"""A model server's gRPC port (`--port`). The stubs of tensorflow-serving-api load TensorFlow where a call is made."""

import logging
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

from tasks.errors import RolloutFailed
from tasks.serving import servers
from tasks.serving.servers import VersionStatus
from tasks.versions.golden import Rows

FLOAT = 1  # tensorflow.DT_FLOAT
INPUT, OUTPUT = "images", "scores"  # of the signature `predict_images`


@dataclass(frozen=True)
class GrpcServer:
    """A ModelServer at `host:port`, asked without TLS and past any proxy."""

    address: str

    def statuses(self, model: str) -> list[VersionStatus]:
        import grpc
        from tensorflow_serving.apis import get_model_status_pb2, model_service_pb2_grpc

        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = model
        try:
            response = self._call(model_service_pb2_grpc.ModelServiceStub, "GetModelStatus", request)
        except RolloutFailed as error:
            cause: Any = error.__cause__
            if cause.code() == grpc.StatusCode.NOT_FOUND:
                return []
            raise
        name = get_model_status_pb2.ModelVersionStatus.State.Name
        try:
            return [
                VersionStatus(entry.version, name(entry.state), " ".join(entry.status.error_message.split()))
                for entry in response.model_version_status
            ]
        except ValueError as error:
            raise RolloutFailed(f"{self.address}: answers what is no model status: {error}") from error

    def ask(self, model: str, version: int, kind: str, request: Mapping[str, Any]) -> Rows:
        from tensorflow_serving.apis import classification_pb2, predict_pb2, prediction_service_pb2_grpc

        message: Any
        if kind == "predict":
            message = predict_pb2.PredictRequest()
            tensor, rows = message.inputs[INPUT], request["instances"]
            tensor.dtype = FLOAT
            for size in (len(rows), len(rows[0])):
                tensor.tensor_shape.dim.add(size=size)
            tensor.float_val.extend(chain.from_iterable(rows))
        else:
            message = classification_pb2.ClassificationRequest()
            for example in request["examples"]:
                features = message.input.example_list.examples.add().features
                for name, values in example.items():
                    features.feature[name].float_list.value.extend(values)
        message.model_spec.name = model
        message.model_spec.version.value = version
        message.model_spec.signature_name = request["signature_name"]
        response = self._call(prediction_service_pb2_grpc.PredictionServiceStub, kind.capitalize(), message)
        if kind == "predict":
            return self._rows(response.outputs[OUTPUT])
        return [{entry.label: entry.score for entry in row.classes} for row in response.result.classifications]

    def reload(self, config: bytes, seconds: float) -> None:
        from tensorflow_serving.apis import model_management_pb2, model_service_pb2_grpc

        request = model_management_pb2.ReloadConfigRequest()
        request.config.ParseFromString(config)
        self._call(model_service_pb2_grpc.ModelServiceStub, "HandleReloadConfigRequest", request, seconds)

    def _rows(self, tensor: Any) -> Rows:
        sizes = [dim.size for dim in tensor.tensor_shape.dim]
        content = tensor.tensor_content
        values = array("f", content if len(content) % 4 == 0 else b"") if content else tensor.float_val
        if tensor.dtype != FLOAT or len(sizes) != 2 or sizes[0] * sizes[1] != len(values):  # noqa: PLR2004 - a matrix
            raise RolloutFailed(f"{self.address}: Predict answers with a tensor that is not a matrix of float scores")
        rows = [values[start : start + sizes[1]] for start in range(0, len(values), sizes[1] or 1)]
        return [{str(number): score for number, score in enumerate(row)} for row in rows]

    def _call(self, stub: Any, method: str, request: Any, seconds: float | None = None) -> Any:
        import grpc

        logging.getLogger("grpc").setLevel(logging.CRITICAL)  # an answer that cannot be read is told below
        with grpc.insecure_channel(self.address, [("grpc.enable_http_proxy", 0)]) as channel:
            try:
                return getattr(stub(channel), method)(request, timeout=seconds or servers.CALL_SECONDS)
            except grpc.RpcError as error:
                details = " ".join((error.details() or "").split())
                raise RolloutFailed(f"{self.address}: {method} fails: {error.code().name}: {details}") from error
