"""How versions are loaded and unloaded: `core/` of TensorFlow Serving, and `util/retrier.cc`.

One thread decides, every tenth of a second (`aspired_versions_manager.h`): it forgets what is over and no longer
aspired, takes over what the source aspires, and then does one thing, for all models together.
"""

import threading
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from enum import Enum

Harness = Enum("Harness", ["NEW", "LOADING", "READY", "DISABLED", "ERROR"])  # `core/loader_harness.h`, shortened


class Managed:
    """A version that the server has to do with (`LoaderHarness`)."""

    def __init__(self, path):
        self.path, self.state, self.is_aspired, self.may_retry, self.model = path, Harness.NEW, True, True, None

    @property
    def is_over(self):
        return self.state in {Harness.NEW, Harness.DISABLED, Harness.ERROR}


class Monitor:
    """What is told of versions (`core/servable_state_monitor.cc`): the last event of each, END with its error too."""

    def __init__(self):
        self.states, self.listeners, self.lock = defaultdict(dict), [], threading.RLock()

    def publish(self, name, version, state, error=""):
        with self.lock:
            self.states[name][version] = (state, error)
            for listener in self.listeners:
                listener.see(name, version, state, error)

    def of(self, name):
        with self.lock:
            return dict(self.states.get(name, {}))

    def wait_for(self, names, stopped):
        """A listener for these models, to be asked with `wait`."""
        with self.lock:
            listener = Listener(names, stopped)
            if names:
                self.listeners.append(listener)
            return listener


class Listener:
    """Waits until some version of each model is available or has ended, the highest counting first.

    `ServableRequest::Latest` and `HasAnyServableInStreamReachedState`: an END is reached as well as an AVAILABLE is.
    """

    def __init__(self, names, stopped):
        self.names, self.stopped, self.states = names, stopped, defaultdict(dict)
        self.outcome, self.done = {}, threading.Event()

    def see(self, name, version, state, error):
        self.states[name][version] = (state, error)
        if self.done.is_set():
            return
        self.outcome = {}
        for model in self.names:
            for _, told in sorted(self.states[model].items(), reverse=True):
                if told[0] in {"AVAILABLE", "END"}:
                    self.outcome[model] = told
                    break
            else:
                return
        self.done.set()

    def wait(self):
        """The errors of models that did not become available; a server waits without a limit, this one for a minute."""
        deadline = time.monotonic() + 60
        while self.names and not self.done.wait(0.02) and not self.stopped.is_set():
            assert time.monotonic() < deadline, f"the server would wait for ever: {dict(self.states)}"
        return [error for state, error in self.outcome.values() if state != "AVAILABLE"]


class Manager:
    """`AspiredVersionsManager` and `BasicManager`; times are in seconds as they pass here."""

    def __init__(self, load, *, retries, retry_seconds, load_threads, manage_seconds):
        self.load, self.retries, self.retry_seconds = load, retries, retry_seconds
        self.load_threads, self.manage_seconds = load_threads, manage_seconds
        self.monitor, self.stopped = Monitor(), threading.Event()
        self.managed, self.pending = defaultdict(dict), {}
        self.lock, self.executor_lock = threading.RLock(), threading.Lock()
        self.executor = ThreadPoolExecutor(8)  # num_initial_load_threads, `model_servers/server_core.h`
        self.thread = threading.Thread(target=self._decide, daemon=True)

    def start_normally(self):
        """End the quick start: what is being loaded is waited for, failing versions with all their tries.

        `load_servables_fast.cc` sets the number of threads back, and `BasicManager::SetNumLoadThreads` waits for the
        pool under the lock that every load needs.
        """
        with self.executor_lock:
            self.executor.shutdown(wait=True)
            self.executor = ThreadPoolExecutor(self.load_threads) if self.load_threads else None

    def stop(self):
        self.stopped.set()
        if self.thread.is_alive():
            self.thread.join()
        if self.executor is not None:
            self.executor.shutdown(wait=True)
        for version in [version for versions in self.managed.values() for version in versions.values()]:
            if version.model is not None:
                version.model.close()

    def aspire(self, name, versions):
        """What the source found at a poll; the last one counts (`EnqueueAspiredVersionsRequest`)."""
        with self.lock:
            self.pending[name] = dict(versions)

    def ready(self, name):
        """The versions that answer: version -> model (`ServingMap::Update`)."""
        with self.lock:
            managed = self.managed.get(name, {}).items()
            return {number: version.model for number, version in managed if version.state == Harness.READY}

    def _decide(self):
        while not self.stopped.wait(self.manage_seconds):
            with self.lock:
                self._flush()
                self._take_over()
                action = self._next_action()
                if action is not None and not action[2].is_aspired:
                    self._unload(*action)
                    continue
                if action is not None:
                    action[2].state = Harness.LOADING  # LoadRequested: it is not chosen again
            if action is not None:
                with self.executor_lock:
                    if self.executor is None:  # num_load_threads=0: this thread loads, and decides nothing meanwhile
                        self._load(*action)
                    else:
                        self.executor.submit(self._load, *action)

    def _flush(self):
        """Forget versions that are over and not aspired: only then a number can be loaded again (`FlushServables`)."""
        for versions in self.managed.values():
            for number, version in list(versions.items()):
                if version.is_over and not version.is_aspired:
                    del versions[number]

    def _take_over(self):
        """`HandlePendingAspiredVersionsRequests`, `ProcessAspiredVersionsRequest`."""
        for name, wanted in list(self.pending.items()):
            versions = self.managed[name]
            if any(number in wanted and not version.is_aspired for number, version in versions.items()):
                continue  # a version came back before it was over: all of the model waits for it
            del self.pending[name]
            for number, version in versions.items():
                if number not in wanted:
                    version.is_aspired = version.may_retry = False  # CancelLoadServableRetry
            for number, path in wanted.items():
                if number not in versions:  # one in ERROR is there: it is not tried again for as long as it is aspired
                    versions[number] = Managed(path)
                    self.monitor.publish(name, number, "START")

    def _next_action(self):
        """Of what each model would do next, an unload before a load (`CompareActions`)."""
        actions = [action for name in self.managed if (action := self._next_of(name)) is not None]
        return min(actions, key=lambda action: action[2].is_aspired, default=None)

    def _next_of(self, name):
        """`core/availability_preserving_policy.cc`: unload the lowest, if something stays; load the highest first."""
        versions = self.managed[name]
        ready = [number for number, version in versions.items() if version.state == Harness.READY]
        going = [number for number in ready if not versions[number].is_aspired]
        has_aspired = any(version.is_aspired for version in versions.values())
        if going and (not has_aspired or len(going) < len(ready) or len(going) > 1):
            return name, min(going), versions[min(going)]
        coming = [n for n, version in versions.items() if version.is_aspired and version.state == Harness.NEW]
        return (name, max(coming), versions[max(coming)]) if coming else None

    def _load(self, name, number, version):
        """`LoaderHarness::Load` with `Retry`: LOADING all the time, the error is told after the last try alone."""
        self.monitor.publish(name, number, "LOADING")
        for tries in range(1, self.retries + 2):
            if tries > 1 and self.stopped.wait(self.retry_seconds):
                return
            error = ""
            try:
                version.model = self.load(number, version.path)
            except Exception as failure:  # noqa: BLE001 - whatever it is, the server tells it
                error = str(failure)
            if not error or not version.may_retry:
                break
        with self.lock:
            if error:
                version.state = Harness.ERROR
            elif not version.may_retry:
                version.state, error = Harness.DISABLED, "Loading of servable cancelled"
                version.model.close()
            else:
                version.state = Harness.READY
            self.monitor.publish(name, number, "END" if error else "AVAILABLE", error)

    def _unload(self, name, number, version):
        self.monitor.publish(name, number, "UNLOADING")
        version.model.close()
        version.state, version.model = Harness.DISABLED, None
        self.monitor.publish(name, number, "END")
