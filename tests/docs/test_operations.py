"""docs/operations.md is done as it stands: a scheduler, its metrics, mail about a failed task, nginx in front.

Only ports are others than on the page, so that nothing that runs on this machine is in the way.
"""

import base64
import configparser
import email.policy
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

import luigi
import luigi.interface
import luigi.notifications
import luigi.scheduler
import pytest
from luigi.task_register import Register

from tasks.serving.config_file import find_models, read_config
from tests.conftest import BIN, ROOT, free_port, names_in
from tests.docs.pages import blocks

PAGE = "docs/operations.md"
TEXT = (ROOT / PAGE).read_text(encoding="utf-8")
BLOCKS = blocks(PAGE)
FILES = {block.mark.removeprefix("file "): block.text for block in BLOCKS if block.mark.startswith("file ")}
RECIPE = "[recipe]\ndataset = small\ntraining_iteration = 20\n"
FAILING = ("DownloadDataset", "--DownloadDataset-mirrors", "/nowhere")
REASON = "could not be fetched. /nowhere: No such file or directory"


def command(beginning):
    """The block of commands of the page that begins so."""
    (found,) = [block.text for block in BLOCKS if block.language == "sh" and block.text.startswith(beginning)]
    return found


def settings():
    """Each setting that the page names: (section, option, value), the value None where a sentence gives none."""
    for block in BLOCKS:
        if block.language == "ini":
            parser = configparser.ConfigParser()
            parser.read_string(block.text)
            yield from ((section, key, value) for section in parser.sections() for key, value in parser.items(section))
    for section, key, value in re.findall(r"`\[(\w+)\] (\w+)(?: = ([^`]+))?`", TEXT):
        yield section, key, value or None


@pytest.mark.parametrize(("section", "key", "value"), sorted(set(settings()), key=str))
def test_a_setting_is_one_that_luigi_reads(section, key, value):
    """Each line of luigi.cfg on the page is a parameter of Luigi's own section, and its value one that it takes."""
    parameter = dict(Register.get_task_cls(section).get_params())[key]
    if value is not None:
        parameter.parse(value)


@pytest.mark.parametrize(
    ("key", "default"), re.findall(r"^\| `\[scheduler\] (\w+)` \| (\d+) \|", TEXT, flags=re.MULTILINE)
)
def test_a_default_of_the_scheduler(key, default):
    """The defaults in the table are Luigi's, whatever the luigi.cfg here says."""
    assert float(default) == dict(luigi.scheduler.scheduler.get_params())[key]._default


def test_the_exit_codes_are_those_that_are_set():
    """The table of exit codes has each that this package gives to Luigi."""
    from tasks.wiring.luigi_defaults import DEFAULTS

    table = re.findall(r"^\| (\d+) \|", TEXT, flags=re.MULTILINE)
    assert sorted([*DEFAULTS["retcode"].values(), "0", "1", "2", str(128 + signal.SIGINT)], key=int) == table


@pytest.mark.long
def test_the_canary_is_a_model_of_its_own(run_luigi):
    """The tasks read the config file with two models on one base path, and change the one that is named alone."""
    run_luigi.configure(RECIPE)
    run_luigi("ExportAllVersions", "--versions", "1,2", check=0)
    path = run_luigi.directory / "models" / "models.config"
    path.write_text(FILES["models.config"].replace("/srv/models", str(path.parent)))
    stable, _ = find_models(read_config(path), run_luigi.base)
    promotion = ("--label", "stable", "--version", "2", "--keep-loaded", "0", "--wait-seconds", "0")
    run_luigi("PromoteVersion", "--model-name", "mnist_canary", *promotion, check=0)
    still, canary = find_models(read_config(path), run_luigi.base)
    assert stable == still
    assert ("mnist_canary", {"stable": 2}) == (canary.name, dict(canary.version_labels))
    assert [2] == list(canary.model_version_policy.specific.versions)


@pytest.fixture
def started():
    """Start servers; each is ended, by its process, when the test ends."""
    processes = []

    def start(words, directory, port, **options):
        with (directory / "server.log").open("ab") as log:
            process = subprocess.Popen(words, cwd=directory, stdout=log, stderr=log, **options)
        processes.append(process)
        wait_until_it_listens(process, port, directory / "server.log")
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            process.terminate()
        process.wait(timeout=10)


def wait_until_it_listens(process, port, log):
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        else:
            return


@pytest.fixture
def scheduler(tmp_path, started):
    """The page's scheduler, in a folder of its own, on a free port: (process, port, folder)."""

    def start(config=""):
        directory, port = tmp_path / "scheduler", free_port()
        directory.mkdir()
        (directory / "luigi.cfg").write_text(config)
        prepare, start = command("mkdir -p work").splitlines()
        subprocess.run(shlex.split(prepare), cwd=directory, check=True)
        program, *words = shlex.split(start.replace("8082", str(port)))
        return started([BIN / program, *words], directory, port), port, directory

    return start


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_a_run_leaves_its_state_to_the_scheduler(scheduler, run_luigi, end):
    """The page's run makes its versions; with the shipped luigi.cfg, what ends the scheduler leaves no traceback."""
    process, port, directory = scheduler((ROOT / "luigi.cfg").read_text(encoding="utf-8"))
    run_luigi.configure(RECIPE)
    words = shlex.split(command("luigi --module tasks"))[3:]
    run_luigi(*words, "--scheduler-port", port, local_scheduler=False, check=0)
    assert ["1", "2", "3"] == names_in(run_luigi.base)
    process.send_signal(end)
    assert 0 == process.wait(timeout=10)
    assert b"ExportAllVersions" in (directory / "work" / "luigid.state").read_bytes()
    assert "Traceback" not in (directory / "server.log").read_text()


def test_metrics_of_the_scheduler(scheduler, run_luigi):
    """A failed task is counted at /metrics, in the lines that the page shows."""
    pytest.importorskip("prometheus_client", reason="the extra luigi[prometheus] is not installed")
    _, port, _ = scheduler(FILES["luigid.cfg"])
    run_luigi(*FAILING, "--scheduler-port", port, local_scheduler=False, check=30)
    address = command("curl -s http://127.0.0.1:8082/metrics").split()[-1].replace("8082", str(port))
    with urllib.request.urlopen(address, timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    (shown,) = [block.text for block in BLOCKS if block.text.startswith("luigi_task_started_total")]
    for line in shown.splitlines():
        name, value = line.split()
        (found,) = [line for line in lines if line.startswith(f"{name} ")]
        assert found == line or name.startswith("luigi_task_execution_time_seconds"), value


def test_mail_about_a_failed_task(run_luigi):
    """One mail comes, none for the task that waits, with the subject that the page shows and the reason."""
    controller = pytest.importorskip("aiosmtpd.controller", reason="aiosmtpd is not installed")
    received = []

    class Mailbox:
        async def handle_DATA(self, _server, _session, envelope):  # noqa: N802 - aiosmtpd's name
            received.append(envelope)
            return "250 OK"

    port = free_port()
    server = controller.Controller(Mailbox(), hostname="127.0.0.1", port=port)
    server.start()
    try:
        run_luigi.configure(FILES["mail.cfg"].replace("port = 25", f"port = {port}"))
        run_luigi("PrepareDataset", *FAILING[1:], check=30)
    finally:
        server.stop()
    (envelope,) = received
    assert ["ops@example.org"] == envelope.rcpt_tos
    assert "luigi@example.org" == envelope.mail_from
    message = _parsed(envelope.content)
    (shown,) = re.findall(r"^Subject: (.*)$", TEXT, flags=re.MULTILINE)
    expected = shown.replace("/srv/work", str(run_luigi.directory / "work")).replace("build-1", socket.gethostname())
    assert expected == " ".join(message["Subject"].split())
    text = message.get_payload(0).get_payload(decode=True).decode()
    assert REASON in " ".join(text.split())  # wrapped, as on the scheduler's page


def test_a_mail_server_that_is_gone_changes_nothing(run_luigi):
    """The run ends with the exit code of the failed task, and the log says what the page quotes."""
    run_luigi.configure(FILES["mail.cfg"].replace("port = 25", f"port = {free_port()}"))
    result = run_luigi(*FAILING, check=30)
    assert "Not able to connect to smtp server" in result.stderr
    assert "Not able to connect to smtp server" in TEXT


def _parsed(content):
    return email.message_from_bytes(content, policy=email.policy.default)


class TestPassword:
    """The scheduler behind nginx."""

    @pytest.fixture
    def nginx(self, scheduler, started, tmp_path):
        """The page's nginx in front of the page's scheduler, and whoever talks to it: (port, replaced)."""
        path = os.pathsep.join([os.environ["PATH"], "/usr/sbin"])
        for program in ("nginx", "htpasswd"):
            if shutil.which(program, path=path) is None:
                pytest.skip(f"{program} is not on the PATH")
        _, scheduler_port, _ = scheduler()
        port = free_port()

        def replaced(text):
            return text.replace("8082", str(scheduler_port)).replace("8083", str(port))

        def start(listen=None):
            directory = tmp_path / "nginx"
            directory.mkdir()
            config = replaced(FILES["nginx.conf"])
            if listen:
                config = config.replace(f"        listen 127.0.0.1:{port};\n", listen(port, directory))
            (directory / "nginx.conf").write_text(config)
            first, second = command("mkdir -p temporary").splitlines()
            if os.geteuid() == 0:  # its workers would become another user, who cannot enter this folder
                second += " -g 'user root;'"
            environment = {**os.environ, "PATH": path}
            subprocess.run(["bash", "-euo", "pipefail", "-c", first], cwd=directory, env=environment, check=True)
            started(["bash", "-c", f"exec {second}"], directory, port, env=environment)
            return directory

        return start, replaced

    @pytest.fixture
    def worker(self, nginx, run_luigi):
        """A run as the page sets it up; `told` is what .netrc says, if there is one."""
        _, replaced = nginx

        def run(told, *, scheme="http", code, **environment):
            home = run_luigi.directory / "home"
            home.mkdir(exist_ok=True)
            (home / ".netrc").write_text(told)
            (home / ".netrc").chmod(0o600)
            run_luigi.configure(replaced(FILES["luigi.cfg"]).replace("http:", f"{scheme}:"))
            environment = {"HOME": str(home), "NETRC": str(home / ".netrc"), **environment}
            return run_luigi(*FAILING, local_scheduler=False, env=environment, check=code)

        return run

    def test_nginx_asks_for_the_password(self, nginx):
        """Without it 401, with it the page; both as the comments on the page say."""
        start, replaced = nginx
        start()
        for line in command("curl -s -o /dev/null").splitlines():
            words = shlex.split(replaced(line), comments=True)
            request = urllib.request.Request(words[-1])
            if "-u" in words:
                given = base64.b64encode(words[words.index("-u") + 1].encode()).decode()
                request.add_header("Authorization", f"Basic {given}")
            try:
                with urllib.request.urlopen(request, timeout=5) as answer:
                    code = answer.status
            except urllib.error.HTTPError as error:
                code = error.code
            assert line.endswith(f"# {code}")

    def test_a_worker_with_the_password(self, nginx, worker):
        """The run reaches the scheduler, and fails by itself: 30, and not 40."""
        nginx[0]()
        assert REASON in worker(FILES[".netrc"], code=30).stderr

    @pytest.mark.parametrize("told", ["", FILES[".netrc"].replace("secret", "other")])
    def test_a_worker_without_the_password(self, nginx, worker, told):
        """The run ends as without a scheduler, no password on the screen; nginx tells a wrong one in its log."""
        directory = nginx[0]()
        result = worker(told, code=40)
        assert "No Luigi scheduler answers" in result.stderr
        assert "other" not in result.stderr.replace("another", "")
        assert ("password mismatch" in (directory / "server.log").read_text()) == bool(told)

    def test_a_worker_over_tls(self, nginx, worker):
        """With the lines for TLS and a certificate of one's own, which REQUESTS_CA_BUNDLE makes known."""
        if shutil.which("openssl") is None:
            pytest.skip("openssl is not on the PATH")

        def listen(port, directory):
            subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
            files = ["-keyout", "luigi.key", "-out", "luigi.crt"]
            make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *subject, *files]
            subprocess.run(make, cwd=directory, check=True, capture_output=True)
            return FILES["listen.conf"].replace("8443", f"127.0.0.1:{port}")

        directory = nginx[0](listen)
        known = str(directory / "luigi.crt")
        assert REASON in worker(FILES[".netrc"], scheme="https", code=30, REQUESTS_CA_BUNDLE=known).stderr
