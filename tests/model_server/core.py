"""How the server starts and follows its config file: `model_servers/server_core.cc` and `server.cc`."""

import contextlib
import re
import tempfile
import threading
import time
from pathlib import Path

import grpc
from google.protobuf import text_format
from tensorflow_serving.apis import prediction_service_pb2_grpc
from tensorflow_serving.config import model_server_config_pb2

from tests.model_server import interfaces, saved_model, source
from tests.model_server.interfaces import Refused
from tests.model_server.lifecycle import Manager

RETRY_SECONDS = 60.0  # load_retry_interval_micros, `model_servers/server.h:69`
FILE_POLL_SECONDS = 1.0  # file_system_poll_wait_seconds
MANAGE_SECONDS = 0.1  # manage_state_interval_micros, `core/aspired_versions_manager.h`


class StartFailed(Exception):
    """A server that ends before it answers anybody."""


class ModelServer:
    """Start it with `with`; a second passes in `scale` seconds, so that what takes minutes can be tried.

    `allow_new_labels` is --allow_version_labels_for_unavailable_models; `config_poll_seconds` 0 reads the file once.
    `cannot_load` says for a version why this server cannot load it, whatever its files say; `refusals` and `warnings`
    are what a real server would write to its log; `silent` lets it hang.
    """

    def __init__(
        self,
        config_path,
        *,
        scale=0.01,
        config_poll_seconds=10.0,
        allow_new_labels=False,
        max_num_load_retries=5,
        num_load_threads=0,
        load_seconds=0.0,
        cannot_load=None,
        ports=(0, 0),
    ):
        self.config_path, self.scale, self.ports = Path(config_path), scale, ports
        self.config_poll_seconds, self.allow_new_labels = config_poll_seconds, allow_new_labels
        self.load_seconds, self.cannot_load, self.tries, self.silent = load_seconds, cannot_load or {}, [], False
        self.labels, self.refusals, self.warnings = {}, [], []
        self.config = model_server_config_pb2.ModelServerConfig()
        self.manager = Manager(
            self._load,
            retries=max_num_load_retries,
            retry_seconds=RETRY_SECONDS * scale,
            load_threads=num_load_threads,
            manage_seconds=max(MANAGE_SECONDS * scale, 0.005),
        )
        self.stopped, self.config_lock = self.manager.stopped, threading.RLock()

    def __enter__(self):
        with contextlib.ExitStack() as undo:
            undo.callback(self.manager.stop)
            self.start()
            undo.callback(interfaces.start(self))
            if self.config_poll_seconds:
                poller = threading.Thread(target=self._poll_config, daemon=True)
                poller.start()
                undo.callback(poller.join)
            undo.callback(self.stopped.set)
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *_):
        self._undo.close()

    def start(self):
        """`ServerCore::Create`: labels first, then every version that the policies name; nobody is answered before.

        Some version of each model must become available before another one of it fails for good
        (`ConnectAdaptersToManagerAndAwaitModelLoads`), and what is being loaded then is waited for.
        """
        self.manager.thread.start()
        try:
            errors = self.follow(self._read(), is_first=True)
        except (Refused, text_format.ParseError) as error:
            raise StartFailed(str(error)) from error
        if errors:
            raise StartFailed(f"{len(errors)} servable(s) did not become available: {'; '.join(errors)}")
        self.manager.start_normally()

    def follow(self, config, *, is_first=False):
        """`ServerCore::ReloadConfig`; raises Refused, and then follows what it followed before."""
        with self.config_lock:
            models = config.model_config_list.config
            if config.WhichOneof("config") is None:
                return []  # "Taking no action for empty config."
            names = [model.name for model in models]
            if len(set(names)) < len(names):
                raise Refused("INVALID_ARGUMENT", "Illegal to list model multiple times in config list")
            for model in models:
                if not re.match(r"/|[a-zA-Z][a-zA-Z0-9+.-]*://", model.base_path):
                    raise Refused("INVALID_ARGUMENT", f"Expected model {model.name} to have an absolute path or URI")
            self._update_labels(models)
            if any(not model.model_platform for model in models):
                raise Refused("INVALID_ARGUMENT", "Illegal setting neither model_type nor model_platform")
            known = {model.name for model in self.config.model_config_list.config}
            listener = self.manager.monitor.wait_for([name for name in names if name not in known], self.stopped)
            for name in known - set(names):
                self.manager.aspire(name, {})  # UnaspireServables
            self.config = config
            if is_first:
                threading.Thread(target=self._poll_files, daemon=True).start()
            errors = listener.wait()
            if errors and not is_first:
                raise Refused("UNKNOWN", f"{len(errors)} model(s) did not become available: {'; '.join(errors)}")
            return errors

    def _update_labels(self, models):
        """`UpdateModelVersionLabelMap`, before any version is loaded: all labels, or none."""
        labels = {}
        for model in models:
            states = self.manager.monitor.of(model.name)
            for label, version in model.version_labels.items():
                excused = self.allow_new_labels and self.labels.get((model.name, label), version) == version
                if not excused and states.get(version, ("", ""))[0] != "AVAILABLE":
                    raise Refused(
                        "FAILED_PRECONDITION",
                        f"Request to assign label to version {version} of model {model.name}, "
                        "which is not currently available for inference",
                    )
                labels[model.name, label] = version
        self.labels = labels

    def find(self, spec):
        """(version, model) for a ModelSpec: `ServableRequestFromModelSpec`, `ServingMap::GetUntypedServableHandle`."""
        ready, choice = self.manager.ready(spec.name), spec.WhichOneof("version_choice")
        if choice == "version_label":
            number = self.labels.get((spec.name, spec.version_label))
            if number is None:
                raise Refused("INVALID_ARGUMENT", f"Unrecognized servable version label: {spec.version_label}")
        else:
            number = spec.version.value if choice == "version" else max(ready, default=None)
        if number not in ready:
            asked = f"Latest({spec.name})" if number is None else f"Specific({spec.name}, {number})"
            raise Refused("NOT_FOUND", f"Servable not found for request: {asked}")
        return number, ready[number]

    def serving(self, name="mnist"):
        """The versions that are available."""
        return sorted(self.manager.ready(name))

    def _load(self, number, path):
        self.tries.append(number)
        self.stopped.wait(self.load_seconds * self.scale)
        if number in self.cannot_load:
            raise OSError(self.cannot_load[number])
        return saved_model.SavedModel(path)

    def _read(self):
        return text_format.Parse(self.config_path.read_text(), model_server_config_pb2.ModelServerConfig())

    def _look(self):
        """`PollFileSystemAndInvokeCallback`: nothing is changed unless every base path is there."""
        models = self.config.model_config_list.config
        found = {model.name: source.aspired_versions(model, self.warnings.append) for model in models}
        for name, versions in found.items():
            self.manager.aspire(name, versions)

    def _poll_files(self):
        while not self.stopped.is_set():
            with contextlib.suppress(source.PollFailed, OSError):
                self._look()
            self.stopped.wait(max(FILE_POLL_SECONDS * self.scale, 0.01))

    def _poll_config(self):
        """`Server::PollFilesystemAndReloadConfig`."""
        while not self.stopped.wait(self.config_poll_seconds * self.scale):
            try:
                self.follow(self._read())
            except (Refused, text_format.ParseError, OSError) as error:
                self.refusals.append(str(error))


@contextlib.contextmanager
def serve(base_path):
    """Serve every version in `base_path` as model `mnist`; gives a stub that is connected to it."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        config = folder / "models.config"
        config.write_text(
            f'model_config_list {{ config {{ name: "mnist" base_path: "{base_path}" model_platform: "tensorflow" '
            "model_version_policy { all { } } } }"
        )
        server = stack.enter_context(ModelServer(config, scale=0.001))
        deadline = time.monotonic() + 30
        while len(server.serving()) < len(server.manager.managed["mnist"]) or not server.serving():
            assert time.monotonic() < deadline, server.manager.monitor.of("mnist")
            time.sleep(0.01)
        channel = stack.enter_context(grpc.insecure_channel(server.address))
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)
