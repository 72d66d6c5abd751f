"""A SavedModel and its answers: `servables/tensorflow/predict_util.cc` and `classifier.cc`."""

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import classification_pb2, predict_pb2


class SavedModel:
    """One that is loaded, and outlives the thread that loads it."""

    def __init__(self, directory):
        self.session = tf.compat.v1.Session(graph=tf.Graph())
        with self.session.graph.as_default():
            loaded = tf.compat.v1.saved_model.loader.load(self.session, ["serve"], str(directory))
        self.signatures = dict(loaded.signature_def)

    def close(self):
        self.session.close()

    def signature(self, name):
        name = name or "serving_default"
        if name not in self.signatures:
            raise ValueError(f'Serving signature key "{name}" not found.')
        return self.signatures[name]

    def predict(self, request):
        signature = self.signature(request.model_spec.signature_name)
        sent, wanted = set(request.inputs), set(signature.inputs)
        if sent != wanted:
            raise ValueError(
                f"input size does not match signature: {len(sent)}!={len(wanted)}. "
                f"Sent extra: {sorted(sent - wanted)}. Missing but required: {sorted(wanted - sent)}."
            )
        feeds = {signature.inputs[name].name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
        response = predict_pb2.PredictResponse()
        for name, value in self._run(signature, feeds).items():
            tensor = response.outputs[name]  # numbers in their field and not as bytes: the server's default
            tensor.dtype = tf.as_dtype(value.dtype).as_datatype_enum
            tensor.tensor_shape.CopyFrom(tf.TensorShape(value.shape).as_proto())
            (tensor.float_val if value.dtype == np.float32 else tensor.string_val).extend(value.ravel().tolist())
        return response

    def classify(self, request):
        signature = self.signature(request.model_spec.signature_name)
        if signature.method_name != "tensorflow/serving/classify":
            raise ValueError(f"Expected classification signature method_name; got {signature.method_name}")
        examples = [example.SerializeToString() for example in request.input.example_list.examples]
        outputs = self._run(signature, {signature.inputs["inputs"].name: examples})
        response = classification_pb2.ClassificationResponse()
        for labels, scores in zip(outputs["classes"], outputs["scores"], strict=True):
            row = response.result.classifications.add()
            for label, score in zip(labels, scores, strict=True):
                row.classes.add(label=label.decode(), score=score)
        return response

    def _run(self, signature, feeds):
        return self.session.run({name: info.name for name, info in signature.outputs.items()}, feeds)
