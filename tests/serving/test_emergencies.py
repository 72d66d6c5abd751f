"""Releases on servers where something is wrong: they fail at a version, are busy with one, hang, or follow nothing."""

import time

import pytest

from tasks.errors import InvalidParameter, ReleaseRefused, RolloutFailed
from tasks.serving import promotion, quarantine
from tasks.serving.config_file import find_model, read_config
from tasks.serving.rollout import Rollout
from tasks.serving.servers import find_servers
from tests.model_server import ModelServer
from tests.serving.conftest import loaded, promote, roll_back, serve, wait_until, write_config

FULL = "Insufficient resources"


@pytest.fixture
def start(base_path, config_path):
    """Start a server of version 1; what it cannot load, `fails` says."""
    running = []

    def start(*fails, **options):
        write_config(config_path, base_path, 1)
        options = {"scale": 0.003, "allow_new_labels": True, "cannot_load": dict.fromkeys(fails, FULL), **options}
        running.append(ModelServer(config_path, **options).__enter__())
        return running[-1]

    yield start
    for server in running:
        server.__exit__()


def watch(*servers, timeout=20.0, wait=1.0, **options):
    return Rollout("mnist", find_servers([server.address for server in servers]), timeout, wait, **options)


def told(server, version):
    return server.manager.monitor.of("mnist").get(version, ("", ""))


def test_a_roll_back_does_not_wait_for_a_server_that_is_busy_failing(start, served):
    """Its one thread tries an unrelated version again and again; what the label came from is loaded, so it moves."""
    server = start(4, scale=0.05)
    (served.base_path / "4").rename(served.base_path / "later")
    for version in (1, 2):
        promote(served, "stable", version, watch(server))
    (served.base_path / "later").rename(served.base_path / "4")
    with served.edit() as edit:
        edit.load({1, 2, 4})
        edit.publish()
    wait_until(lambda: told(server, 4)[0] == "LOADING")
    began = time.monotonic()
    promotion.roll_back(served, "stable", watch(server), why="")
    wait_until(lambda: server.labels == {("mnist", "stable"): 1})
    assert time.monotonic() - began < 5 * 60 * server.scale  # the tries of version 4
    assert "LOADING" == told(server, 4)[0]


def test_a_failed_newest_version_does_not_fail_a_promotion(start, served):
    """It comes on the policy with the label, not before: the server has loaded what was asked for by then."""
    server = start(4, max_num_load_retries=0)
    promote(served, "stable", 2, watch(server))
    wait_until(lambda: told(server, 4) == ("END", FULL))
    promote(served, "stable", 3, watch(server))
    wait_until(lambda: server.labels == {("mnist", "stable"): 3})


@pytest.mark.parametrize(("retries", "threads"), [(5, 0), (0, 1)])
def test_a_version_that_failed_is_promoted_without_a_restart(start, served, caplog, retries, threads):
    """The server remembers its failure; it leaves the policy until that may be seen, and is loaded anew."""
    server = start(2, max_num_load_retries=retries, num_load_threads=threads)
    served.config_path.write_text(served.config_path.read_text().replace("versions: 1", "versions: 1 versions: 2"))
    wait_until(lambda: told(server, 2) == ("END", FULL))
    server.cannot_load.clear()
    with caplog.at_level("INFO", "tasks"):
        promote(served, "stable", 2, watch(server))
    assert f"Version 2 failed before: {server.address}: {FULL}" in caplog.text
    assert "Waiting 1 s for the servers to see a policy without 2" in caplog.text
    wait_until(lambda: server.labels == {("mnist", "stable"): 2})


def test_a_version_that_was_taken_back_and_mended_is_promoted(start, served):
    """Quarantined and brought back under its number: no server has to be started anew."""
    server = start(2, max_num_load_retries=0)
    with pytest.raises(RolloutFailed, match=f"version 2 of mnist failed there: {FULL}"):
        promote(served, "stable", 2, watch(server))
    quarantine.quarantine(served, 2, force=False, why="")
    server.cannot_load.clear()
    (served.base_path / "2.denied").rename(served.base_path / "2")
    promote(serve(served.config_path, served.base_path), "stable", 2, watch(server))
    wait_until(lambda: server.labels == {("mnist", "stable"): 2})


def test_a_version_that_fails_again_is_told_again(start, served):
    """The same words as before: that they are new is known when the server had time to load it, and is not busy."""
    server = start(2, max_num_load_retries=0, num_load_threads=1)
    for _ in range(2):
        before = served.labels(), loaded(served)
        began = time.monotonic()
        with pytest.raises(RolloutFailed, match=f"version 2 of mnist failed there: {FULL}"):
            promote(served, "stable", 2, watch(server, timeout=60.0))
        assert time.monotonic() - began < 30
        assert before == (served.labels(), loaded(served))


def test_a_version_with_a_label_is_not_taken_off_the_policy(start, served, caplog):
    """Whoever asks for its label needs it: a second label waits, and is told why."""
    server = start(2, max_num_load_retries=0)
    served.config_path.write_text(
        served.config_path.read_text().replace(
            "versions: 1 } }", 'versions: 1 versions: 2 } } version_labels { key: "canary" value: 2 }'
        )
    )
    wait_until(lambda: told(server, 2) == ("END", FULL))
    with pytest.raises(RolloutFailed, match=f"failed there: {FULL}"):
        promote(served, "stable", 2, watch(server))
    assert "It stays on the policy, so a server tries it again only when it is started anew" in caplog.text
    assert ({"canary": 2}, [1, 2]) == (served.labels(), loaded(served))


@pytest.mark.long
def test_a_server_that_tries_again_is_waited_for(start, served, caplog):
    """It is LOADING meanwhile, without a word why: the line says where to look; the third try succeeds."""
    server = start(2, scale=0.02)
    with caplog.at_level("INFO", "tasks"):
        began = time.monotonic()
        server.cannot_load = Until(began + 2.5 * 60 * server.scale)
        promote(served, "stable", 2, watch(server))
    assert "version 2 of mnist is LOADING there (a load that fails is tried again" in caplog.text
    assert server.tries.count(2) > 1


class Until(dict):
    """A server that has no memory until a moment."""

    def __init__(self, moment):
        super().__init__()
        self.moment = moment

    def __contains__(self, version):
        return version == 2 and time.monotonic() < self.moment

    def __getitem__(self, version):
        return FULL


def test_a_roll_back_goes_on_without_a_server_that_is_down(start, served, caplog):
    """It is named; if all are down, or all are required, nothing is changed."""
    server, gone = start(), start()
    for version in (1, 2):
        promote(served, "stable", version, watch(server, gone))
    both, all_gone = watch(server, gone), watch(gone, require_all=False)
    gone.__exit__()
    before = served.config_path.read_bytes()
    for rollout, said in ((both, f"{gone.address}: GetModelStatus fails"), (all_gone, "no server answers: ")):
        with pytest.raises(RolloutFailed, match=said):
            promotion.roll_back(served, "stable", rollout, why="")
        assert before == served.config_path.read_bytes()
    promotion.roll_back(served, "stable", watch(server, gone, require_all=False), why="")
    assert f"Going on without a server, which follows when it reads the config file: {gone.address}" in caplog.text
    wait_until(lambda: server.labels == {("mnist", "stable"): 1})


def test_a_server_that_goes_down_meanwhile_is_left_out(start, served, monkeypatch):
    """Also when it answered at first; if it was the only one, the label stays."""
    server = start()
    for version in (1, 2):
        promote(served, "stable", version, watch(server))
    send = Rollout.send
    monkeypatch.setattr(Rollout, "send", lambda self, path: server.__exit__() or send(self, path))
    before = served.config_path.read_bytes()
    with pytest.raises(RolloutFailed, match="no server answers: "):
        promotion.roll_back(served, "stable", watch(server, require_all=False), why="")
    assert before == served.config_path.read_bytes()


def test_who_is_answered_without_a_label_is_told_before_and_after(start, served, caplog):
    """By what each server has loaded; a promotion names what comes after it, a roll-back moves nobody."""
    server = start(4, max_num_load_retries=0)
    with caplog.at_level("INFO", "tasks"):
        promote(served, "stable", 1, watch(server))
        wait_until(lambda: server.serving() == [1, 3])
        promote(served, "stable", 2, watch(server))
        wait_until(lambda: server.serving() == [1, 2])
        promotion.roll_back(served, "stable", watch(server), why="")
    about = "Requests that name neither label nor version are "
    lines = [record.getMessage().removeprefix(about) for record in caplog.records if about in record.getMessage()]
    assert [
        "answered by version 1",
        "now answered by version 1, and by 4 where that gets loaded",
        "answered by version 3, and by 4 where that gets loaded",
        "now answered by version 2, and by 4 where that gets loaded",
        "answered by version 2, and by 4 where that gets loaded",
        "still answered by version 2, and by 4 where that gets loaded",
    ] == lines


def test_a_config_that_is_sent_is_not_waited_for(start, served):
    """A server that reads its file once follows a promotion, a roll-back, and the end of a label."""
    server = start(config_poll_seconds=0)
    sent = watch(server, reload=True)
    promote(served, "stable", 1, sent)
    assert {("mnist", "stable"): 1} == server.labels
    promote(served, "stable", 2, sent)
    assert {("mnist", "stable"): 2} == server.labels
    promotion.roll_back(served, "stable", sent, why="")
    assert {("mnist", "stable"): 1} == server.labels
    promotion.remove_label(served, "stable", sent, why="")
    assert {} == server.labels


def test_a_config_that_a_server_refuses_is_told_in_its_words(start, served):
    """Another label points at nothing: the server takes no file with it, and the policy is put back."""
    server = start(config_poll_seconds=0, allow_new_labels=False)
    promote(served, "canary", 3)
    before = served.labels(), loaded(served)
    said = "HandleReloadConfigRequest fails: FAILED_PRECONDITION: Request to assign label to version 3 of model mnist"
    with pytest.raises(RolloutFailed, match=said):
        promote(served, "stable", 2, watch(server, reload=True))
    assert before == (served.labels(), loaded(served))


@pytest.mark.long
def test_a_failed_version_is_loaded_anew_by_sending(start, served):
    """The servers' look at their files is waited for, not their poll of the config file."""
    server = start(2, config_poll_seconds=0, max_num_load_retries=0)
    sent = watch(server, wait=600.0, reload=True)
    with pytest.raises(RolloutFailed, match="failed there"):
        promote(served, "stable", 2, sent)
    server.cannot_load.clear()
    promote(served, "stable", 2, sent)
    assert {("mnist", "stable"): 2} == server.labels


@pytest.mark.parametrize(
    ("address", "said"), [("http://h:1", "takes the config file over gRPC alone"), (None, "no --")]
)
def test_a_config_cannot_be_sent_to_everybody(address, said):
    """REST has no call for it; and somebody must be named."""
    with pytest.raises(InvalidParameter, match=said):
        find_servers([address] if address else [], reload=True)


def test_servers_that_see_another_path(served, base_path, config_path, tmp_path):
    """The file has the path as they see it; everything else goes by where the versions lie here."""
    seen = tmp_path / "seen"
    served = serve(config_path, base_path, server_base_path=str(seen))
    promote(served, "stable", 1)
    assert str(seen) == read_config(config_path).model_config_list.config[0].base_path
    seen.symlink_to(base_path)
    with ModelServer(config_path, scale=0.003, allow_new_labels=True) as server:
        promote(served, "stable", 2, watch(server))
        roll_back(served, "stable")
        wait_until(lambda: server.labels == {("mnist", "stable"): 1})
    assert [(None, 1), (1, 2), (2, 1)] == [(move.before, move.after) for move in served.history()]


def test_a_label_is_removed_and_brought_back(served):
    """The policy keeps no version for it; a roll-back is the way back, and a second removal changes nothing."""
    promote(served, "stable", 4)
    promote(served, "canary", 1)
    assert [1, 3, 4] == loaded(served)
    rollout = Rollout("mnist", (), 0.0)
    (move,) = promotion.remove_label(served, "canary", rollout, why="over")
    assert ("canary", 1, None, "over", "RemoveLabel") == (move.label, move.before, move.after, move.why, move.task)
    assert ({"stable": 4}, [3, 4]) == (served.labels(), loaded(served))
    assert [] == promotion.remove_label(served, "canary", rollout, why="")
    roll_back(served, "canary")
    assert ({"canary": 1, "stable": 4}, [1, 3, 4]) == (served.labels(), loaded(served))
    with pytest.raises(ReleaseRefused, match="pointed at nothing before"):
        roll_back(served, "other")


def test_the_last_label_leaves_what_is_loaded(base_path, config_path):
    """A policy that names no version would unload everything."""
    served = serve(config_path, base_path, keep_loaded=0)
    promote(served, "stable", 2)
    promotion.remove_label(served, "stable", Rollout("mnist", (), 0.0), why="")
    assert ({}, [2]) == (served.labels(), loaded(served))


def test_a_removed_label_leaves_a_policy_that_follows_the_tree(served):
    """What a person wrote to serve the newest still serves the newest."""
    served.config_path.write_text(
        f'model_config_list {{ config {{ name: "mnist" base_path: "{served.base_path}" '
        'version_labels { key: "stable" value: 4 } } }'
    )
    promotion.remove_label(served, "stable", Rollout("mnist", (), 0.0), why="")
    model = find_model(read_config(served.config_path), served.base_path)
    assert ({}, None) == (served.labels(), model.model_version_policy.WhichOneof("policy_choice"))
