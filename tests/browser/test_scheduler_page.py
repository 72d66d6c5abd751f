"""What people see on the page of a real scheduler while versions are made."""

import re
import time
from collections import Counter

import pytest
from playwright.sync_api import expect

from tasks.wiring.failures import WIDTH
from tests.conftest import CommandLine, kill_group

pytestmark = [pytest.mark.browser, pytest.mark.long]

# Version 1 is made at once, version 2 is in the way, version 3 takes longer than anybody looks
ITERATIONS = 10_000_000
CONFIG = f"""
[recipe]
dataset = small
training_iteration = 40
[recipe.3]
training_iteration = {ITERATIONS}
[training]
segment = {ITERATIONS}
"""
DONE = ("DONE", "ExportVersion", "version=1, model=softmax, training_iteration=40, dataset=small")
FAILED = ("FAILED", "ExportVersion", "version=2, model=softmax, training_iteration=40, dataset=small")
RUNNING = ("RUNNING", "TrainModel", f"model=softmax, training_iteration={ITERATIONS}, dataset=small")
CELLS = "rows => rows.map(row => [...row.cells].slice(0, 3).map(cell => cell.innerText.trim()))"
TOO_WIDE = "(box, text) => { box.textContent = text; return box.scrollWidth - box.clientWidth; }"


@pytest.fixture(scope="module")
def address(chromium, scheduler, tmp_path_factory, mirror):  # noqa: ARG001 - skipped without a browser
    """The address of the page, on which a task is done, one has failed and one is running."""
    run = CommandLine(tmp_path_factory.mktemp("watched"), mirror)
    run.configure(CONFIG)
    (run.base / "2").mkdir(parents=True)
    (run.base / "2" / "saved_model.pb").touch()
    options = ("--versions=1-3", f"--scheduler-port={scheduler.port}")
    process = run.start("ExportAllVersions", *options, local_scheduler=False)
    deadline = time.monotonic() + 120
    while not any("left" in (task["status_message"] or "") for task in rows_of(scheduler, "RUNNING")):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline, "the training of version 3 does not tell how far it is"
        time.sleep(0.1)
    yield f"http://127.0.0.1:{scheduler.port}/static/visualiser/index.html"
    kill_group(process)


def rows_of(scheduler, status):
    """What the scheduler tells the page of the tasks of that status."""
    return scheduler.ask("task_list", status=status).values()


def row(page, task):
    """The row of a task; the list has come when it is there."""
    found = page.locator("#taskTable tbody tr")
    for text in task:
        found = found.filter(has_text=text)
    expect(found).to_have_count(1)
    return found


def test_the_list(look, address):
    """Each row says what it is; nothing on the page goes wrong."""
    looked = look(address)
    row(looked.page, RUNNING)
    rows = {tuple(cells) for cells in looked.page.locator("#taskTable tbody tr").evaluate_all(CELLS)}
    assert {DONE, FAILED, RUNNING} <= rows
    assert ("DONE", "PrepareDataset", "dataset=small") in rows
    assert "versions=1-3" in {details for _, name, details in rows if name == "ExportAllVersions"}
    assert [] == looked.said


def test_the_graph(look, address, scheduler):
    """From the row of the whole run: what is not done yet, and with the rest each version and its training."""
    assert 1 == [task["name"] for task in rows_of(scheduler, "PENDING")].count("ExportAllVersions")
    page = look(address).page
    # Luigi's page draws the rows of several answers, and now and then this one task twice; either leads to the graph
    rows = page.locator("#taskTable tbody tr").filter(has_text="ExportAllVersions").filter(has_text="versions=1-3")
    rows.first.get_by_title("View graph").click()
    nodes = page.locator("#graphPlaceholder .graph-node-a")
    expect(nodes).to_have_count(4)
    page.locator("#hideDoneCheckbox").uncheck()
    expect(nodes).to_have_count(8)
    families = {"ExportAllVersions": 1, "ExportVersion": 3, "TrainModel": 2, "PrepareDataset": 1, "DownloadDataset": 1}
    assert families == Counter(nodes.all_text_contents())


def test_a_running_row(look, address):
    """Behind its bubble stands how far it is, and a percentage that agrees."""
    page = look(address).page
    row(page, RUNNING).locator(".statusMessage").click()
    text, bar = page.locator("#statusMessageModal pre"), page.locator("#statusMessageModal .progress-bar")
    told = re.compile(rf"iteration (\d+) of {ITERATIONS}, loss \d\.\d{{4}}, \d+ (s|min) left")
    expect(text).to_have_text(told)
    expect(bar).to_have_text(re.compile(r"\d+%"))
    done = int(told.fullmatch(text.inner_text())[1])
    assert pytest.approx(max(1, round(100 * done / ITERATIONS)), abs=1) == int(bar.inner_text().rstrip("%"))


def test_a_finished_row(look, address):
    """Behind its bubble stays what came out."""
    page = look(address).page
    row(page, DONE).locator(".statusMessage").click()
    result = re.compile(r"^validation [01]\.\d{4}, test [01]\.\d{4}, 0\.\d MB$")
    expect(page.locator("#statusMessageModal pre")).to_have_text(result)
    expect(page.locator("#statusMessageModal .progress-bar")).to_have_text("100%")


def test_a_failed_row(look, address):
    """The reason comes first and fits into its box, and the command to re-run is below."""
    page = look(address).page
    row(page, FAILED).locator(".showError").click()
    reason, command = (page.locator("#errorModal pre").nth(place) for place in range(2))
    expect(reason).to_contain_text("models/mnist/2 is there, but was not made by this pipeline")
    expect(command).to_have_text(
        re.compile(r'luigi --module tests\.small ExportVersion --version "2" --model "softmax"')
    )
    assert "Traceback" not in reason.inner_text()
    assert WIDTH >= max(map(len, reason.inner_text().splitlines()))
    assert 0 == reason.evaluate(TOO_WIDE, WIDTH * "x")
