"""The page that compares versions, as a browser shows it."""

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.conftest import CommandLine

pytestmark = [pytest.mark.browser, pytest.mark.long]

CONFIG = """
[recipe]
dataset = small
training_iteration = 40
[recipe.2]
model = cnn
training_iteration = 5
[recipe.3]
training_iteration = 20
[training]
segment = 20
"""
SECTIONS = ["Versions", "Recipes", "Learning curves", "Mistakes", "Reliability", "Cost", "Releases", "Provenance"]
OPEN = "document.querySelectorAll('details').forEach(one => { one.open = true; })"
TOO_WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
EMPTY = "images => images.filter(one => !one.naturalWidth).map(one => one.alt)"


@pytest.fixture(scope="module")
def address(chromium, tmp_path_factory, mirror):  # noqa: ARG001 - skipped without a browser
    """The address of the page of three versions, one of which is stable and one taken back."""
    run = CommandLine(tmp_path_factory.mktemp("compared"), mirror)
    run.configure(CONFIG)
    run("ExportAllVersions", "--versions=1-3", check=0)
    run("PromoteVersion", "--label=stable", "--version=1", "--wait-seconds=0", "--why=<b>good</b>", check=0)
    run("QuarantineVersion", "--version=3", check=0)
    run("CompareVersions", check=0)
    return (run.directory / "work" / "comparison.html").as_uri()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 390])
def test_it_is_whole_and_legible(look, address, width, scheme):
    """On a desk and on a phone, by day and by night: every section, nothing from elsewhere, and axe finds nothing."""
    looked = look(address, width, scheme)
    page = looked.page
    page.evaluate(OPEN)
    links = page.get_by_role("navigation").get_by_role("link")
    assert SECTIONS == links.all_inner_texts()
    for link in links.all():
        section = page.locator(link.get_attribute("href"))
        assert section.get_by_role("heading", level=2).is_visible()
        assert section.locator("table, svg, img, li, pre").filter(visible=True).count()
    assert 0 == page.evaluate(TOO_WIDE)
    assert [] == page.locator("img").evaluate_all(EMPTY)
    assert [] == [(found["id"], found["nodes"][0]["html"]) for found in Axe().run(page).response["violations"]]
    assert ([], []) == (looked.said, looked.asked)
