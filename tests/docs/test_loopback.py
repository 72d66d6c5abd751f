"""Every server that the documentation starts listens to this machine alone, as it stands: none asks for a password."""

import re
import shlex
from itertools import pairwise

import pytest

from tests.conftest import ROOT
from tests.docs.pages import NAMES, blocks

LOOPBACK = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:|$)")
TLS = re.compile(
    r"listen \d+ ssl;"
)  # the one line that opens a port to others: nginx, with a password and a certificate


def values(words, *options):
    """What a command gives an option: `--option value`, `--option=value`."""
    pairs = pairwise([*words, ""])
    following = [after for word, after in pairs if word in options]
    return following + [word.partition("=")[2] for word in words if word.partition("=")[0] in options and "=" in word]


def all_loopback(found):
    return bool(found) and all(map(LOOPBACK.match, found))


def is_open(command) -> bool:
    """Whether a command starts a server that listens to other machines."""
    words = shlex.split(command, comments=True)
    while words and re.fullmatch(r"\w+=.*", words[0]):  # variables that are set for it
        words = words[1:]
    match words:
        case ["docker" | "podman", "run", *rest]:
            published = values(rest, "-p", "--publish")
            return (
                "-P" in rest
                or "host" in values(rest, "--network", "--net")
                or (bool(published) and not all_loopback(published))
            )
        case ["luigid", *rest]:
            return not all_loopback(values(rest, "--address"))
        case ["dask", "scheduler" | "worker", *rest] | ["dask-scheduler" | "dask-worker", *rest]:
            # --dashboard-address, as their HTTP listens to all whatever --host says, and with --no-dashboard too
            return not (all_loopback(values(rest, "--host")) and all_loopback(values(rest, "--dashboard-address")))
        case ["python" | "python3", "-m", "http.server", *rest]:
            return not all_loopback(values(rest, "-b", "--bind"))
        case [server, *rest] if server.rpartition("/")[2] in {"tensorflow_model_server", "moto_server", "weed", "nc"}:
            return not all_loopback(values(rest, "-H", "--host", "-ip.bind", "--grpc_socket_path"))
    return False


def commands(name):
    """Every command of a page: lines of its shell blocks, and what stands in backticks and has an option."""
    text = (ROOT / name).read_text(encoding="utf-8")
    for block in blocks(name):
        if block.language == "sh":
            for line in (
                re.sub(r"<<(\w+)\n.*?^\1$", "", block.text, flags=re.DOTALL | re.MULTILINE)
                .replace("\\\n", " ")
                .splitlines()
            ):
                yield from re.split(r" && | \| |; ", line)
    yield from (span for span in re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text) if re.search(r" -", span))


PAGES = [*NAMES, "SECURITY.md"]


@pytest.mark.parametrize("name", PAGES)
def test_every_server_listens_to_this_machine_alone(name):
    """Docker's ports, the scheduler of Luigi, that of Dask and its workers, any other."""
    found = []
    for command in commands(name):
        try:
            found += [command] if is_open(command) else []
        except ValueError:  # a quote that goes on in another line, or a message: it starts no server
            assert not re.match(r"docker|podman|luigid|dask", command)
    assert [] == found


@pytest.mark.parametrize("name", [*PAGES, "luigi.cfg"])
def test_every_line_of_a_configuration_does(name):
    """What nginx listens to, and luigid in a comment; but for the line with TLS."""
    text = (ROOT / name).read_text(encoding="utf-8")
    listening = re.findall(r"^ *listen .*;", text, flags=re.MULTILINE)
    assert [] == [line for line in listening if "listen 127.0.0.1:" not in line and not TLS.search(line)]
    assert [] == [
        line for line in re.findall(r"luigid -.*", text) if "--address 127.0.0.1" not in line and "--state" not in line
    ]
    assert [] == re.findall(r".*0\.0\.0\.0.*", text)


@pytest.mark.parametrize(
    "command",
    [
        "docker run -p 8501:8501 tensorflow/serving",
        "docker run -p 127.0.0.1:8500:8500 -p 8501:8501 tensorflow/serving",
        "docker run --publish=0.0.0.0:8501:8501 tensorflow/serving",
        "docker run --network host tensorflow/serving",
        "luigid",
        "luigid --port 8082",
        "X=1 luigid --address 0.0.0.0",
        "dask scheduler",
        "dask scheduler --host 127.0.0.1",
        "dask worker tcp://127.0.0.1:8786 --host 127.0.0.1 --no-dashboard",
        "python3 -m http.server 8000",
        "tensorflow_model_server --rest_api_port=8501",
    ],
)
def test_what_listens_to_others_is_found(command):
    """Each of these is reached from other machines."""
    assert is_open(command)


@pytest.mark.parametrize(
    "command",
    [
        "docker run -p 127.0.0.1:8501:8501 tensorflow/serving",
        "docker run tensorflow/serving",
        "luigid --address 127.0.0.1 --port 8082",
        "dask scheduler --host 127.0.0.1 --dashboard-address 127.0.0.1:8787",
        "dask worker tcp://127.0.0.1:8786 --host 127.0.0.1 --dashboard-address 127.0.0.1:0",
        "python3 -m http.server --bind 127.0.0.1 8000",
        "luigi --module tasks ExportAllVersions --versions 1,2,3",
    ],
)
def test_what_listens_to_this_machine_is_not(command):
    """Each of these is not, or is no server."""
    assert not is_open(command)


def test_the_readme_is_among_what_is_looked_at():
    """Its docker command is found as one: a rule that sees no command holds nothing."""
    found = [command for name in PAGES for command in commands(name)]
    assert [True] * 3 == [command.startswith("docker run") for command in found if "8501:8501" in command]
    assert any(command.startswith("luigid --address") for command in found)
