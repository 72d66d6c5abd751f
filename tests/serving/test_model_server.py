"""The rules by which versions are loaded: as in TensorFlow Serving's source, which each test names."""

import shutil
import time

import pytest

from tests.model_server import ModelServer, Refused, StartFailed
from tests.model_server.core import RETRY_SECONDS
from tests.serving.conftest import wait_until

CONFIG = 'model_config_list {{ config {{ name: "mnist" base_path: "{}" model_platform: "tensorflow" {} }} }}'
BROKEN = {3: "Insufficient resources"}


def specific(*versions):
    return f"model_version_policy {{ specific {{ {' '.join(f'versions: {version}' for version in versions)} }} }}"


def label(name, version):
    return f'version_labels {{ key: "{name}" value: {version} }}'


@pytest.fixture
def start(base_path, config_path):
    """Start a server of a tree of four versions; `write` replaces its config file."""

    def write(rest):
        config_path.with_suffix(".new").write_text(CONFIG.format(base_path, rest))
        config_path.with_suffix(".new").rename(config_path)

    def with_config(rest, **options):
        write(rest)
        return ModelServer(config_path, **{"scale": 0.003, **options})

    with_config.write = write
    return with_config


def states(server):
    return {number: state for number, (state, _) in sorted(server.manager.monitor.of("mnist").items())}


def test_the_highest_version_is_loaded_first(start):
    """`availability_preserving_policy.cc:77-85`; one after the other, as num_load_threads is 0."""
    with start(specific(1)) as server:
        start.write(specific(1, 2, 3, 4))
        wait_until(lambda: server.serving() == [1, 2, 3, 4])
        assert [1, 4, 3, 2] == server.tries


def test_a_version_that_fails_is_tried_six_times(start):
    """`server.h:68-69`, `util/retrier.cc`: five more times, a minute apart; LOADING and without an error meanwhile."""
    with start(specific(1), cannot_load=BROKEN) as server:
        start.write(specific(1, 3))
        wait_until(lambda: server.tries.count(3) == 1)
        began = time.monotonic()
        wait_until(lambda: server.tries.count(3) == 4)
        assert ("LOADING", "") == server.manager.monitor.of("mnist")[3]
        wait_until(lambda: states(server).get(3) == "END")
        assert 6 == server.tries.count(3)
        assert time.monotonic() - began >= 5 * RETRY_SECONDS * server.scale * 0.9
        assert ("END", BROKEN[3]) == server.manager.monitor.of("mnist")[3]
        assert [1] == server.serving()


@pytest.mark.parametrize(("threads", "is_held_up"), [(0, True), (2, False)])
def test_a_failing_version_holds_up_every_other(start, threads, is_held_up):
    """`basic_manager.cc:55`: without threads the one that decides loads, too, and neither loads nor unloads others."""
    with start(specific(1, 2), cannot_load=BROKEN, num_load_threads=threads) as server:
        start.write(specific(1, 3))
        wait_until(lambda: 3 in server.tries)
        start.write(specific(1, 3, 4))
        wait_until(lambda: states(server).get(3) == "END" if is_held_up else server.serving() == [1, 4])
        assert ("END" if is_held_up else "LOADING") == states(server).get(3)
        wait_until(lambda: server.serving() == [1, 4])


def test_a_failed_version_is_tried_again_after_it_was_not_aspired(start):
    """`aspired_versions_manager.cc`: END with its error stays, until it left the policy for a poll and came back."""
    with start(specific(1), cannot_load=dict(BROKEN), max_num_load_retries=0, num_load_threads=1) as server:
        start.write(specific(1, 3))
        wait_until(lambda: states(server).get(3) == "END")
        server.cannot_load.clear()
        start.write(specific(1, 2, 3))  # it stays aspired, whatever else changes
        wait_until(lambda: server.serving() == [1, 2])
        time.sleep(20 * server.scale)
        assert ("END", BROKEN[3]) == server.manager.monitor.of("mnist")[3]
        start.write(specific(1, 2))
        wait_until(lambda: 3 not in server.manager.managed["mnist"])
        assert ("END", BROKEN[3]) == server.manager.monitor.of("mnist")[3]
        start.write(specific(1, 2, 3))
        wait_until(lambda: server.serving() == [1, 2, 3])


def test_a_version_that_leaves_while_it_is_tried_is_given_up(start):
    """`CancelLoadServableRetry`: with threads it is not tried to the end, and ends with an error."""
    with start(specific(1), cannot_load=BROKEN, num_load_threads=1) as server:
        start.write(specific(1, 3))
        wait_until(lambda: 3 in server.tries)
        start.write(specific(1))
        wait_until(lambda: states(server).get(3) == "END")
        assert server.tries.count(3) < 6


def test_something_stays_loaded_while_a_model_moves_on(start):
    """`availability_preserving_policy.cc:65-75`: the last loaded version goes when one that is aspired is loaded."""
    with start(specific(1), cannot_load=BROKEN, max_num_load_retries=0) as server:
        start.write(specific(3))
        wait_until(lambda: states(server).get(3) == "END")
        time.sleep(5 * server.scale)
        assert [1] == server.serving()
        start.write(specific(2))
        wait_until(lambda: server.serving() == [2])


def test_a_specific_version_that_is_missing_is_a_warning(start):
    """`file_system_storage_path_source.cc:236-244`: one a poll, and the others are loaded."""
    with start(specific(1, 9)) as server:
        wait_until(lambda: len(server.warnings) >= 3)
        assert "Version 9 of servable mnist, which was requested to be served" in server.warnings[-1]
        assert [1] == server.serving()


@pytest.mark.parametrize(("policy", "folder"), [("all { }", "01"), (specific(1)[23:-2], "1"), ("latest { }", "1")])
def test_two_folders_with_one_number(start, base_path, policy, folder):
    """`01` beside `1`: loaded from the first under `all`, and from the last otherwise (`IndexChildrenByVersion`)."""
    for version in (2, 3, 4):
        shutil.rmtree(base_path / str(version))
    shutil.copytree(base_path / "1", base_path / "01")
    with start(f"model_version_policy {{ {policy} }}") as server:
        assert base_path / folder == server.manager.managed["mnist"][1].path


def test_labels_are_checked_before_versions_are_loaded(start):
    """`server_core.cc:514-571`: a file that does both at once is refused at every poll; one after the other is not."""
    with start(specific(1)) as server:
        start.write(specific(1, 2) + label("stable", 2))
        wait_until(lambda: len(server.refusals) >= 3)
        assert "Request to assign label to version 2 of model mnist" in server.refusals[0]
        assert ({}, [1]) == (server.labels, server.serving())
        start.write(specific(1, 2))
        wait_until(lambda: server.serving() == [1, 2])
        start.write(specific(1, 2) + label("stable", 2))
        wait_until(lambda: server.labels == {("mnist", "stable"): 2})


def test_labels_of_versions_that_are_not_loaded(start):
    """`UpdateModelVersionLabelMap`: with the option a label that is new may point anywhere, one that moves may not."""
    with start(specific(1) + label("stable", 1), allow_new_labels=True) as server:
        start.write(specific(1) + label("stable", 1) + label("canary", 9))
        wait_until(lambda: server.labels == {("mnist", "stable"): 1, ("mnist", "canary"): 9})
        start.write(specific(1, 2) + label("stable", 2))
        wait_until(lambda: len(server.refusals) >= 3)
        assert {("mnist", "stable"): 1, ("mnist", "canary"): 9} == server.labels
    with pytest.raises(StartFailed, match="not currently available"), start(specific(1) + label("stable", 1)):
        """Without the option it does not even start with a label in the file."""


def test_a_start_waits_for_a_version_that_fails(start):
    """`load_servables_fast.cc:52-61`: nobody is answered before it was tried six times, and then all are."""
    began = time.monotonic()
    with start(specific(1, 3), cannot_load=BROKEN) as server:
        assert 6 == server.tries.count(3)
        assert time.monotonic() - began >= 5 * RETRY_SECONDS * server.scale * 0.9
        assert [1] == server.serving()


def test_a_start_fails_where_the_newest_fails_at_once(start):
    """`server_core.cc:741-763`: an END counts as well; without further tries it comes before the others are loaded."""
    options = {"cannot_load": {4: "Insufficient resources"}, "max_num_load_retries": 0}
    with pytest.raises(StartFailed, match="did not become available: Insufficient"), start(specific(1, 4), **options):
        """It ends."""


def test_a_config_that_is_sent_is_followed_at_once(start):
    """`model_service_impl.cc`, HandleReloadConfigRequest: also where the file is read only once."""
    with start(specific(1), config_poll_seconds=0) as server:
        start.write(specific(2))
        server.follow(server._read())
        wait_until(lambda: server.serving() == [2])
        start.write(specific(2) + label("stable", 1))
        with pytest.raises(Refused, match="version 1 of model mnist"):
            server.follow(server._read())
