"""A real browser, and what a page says and asks for while it is looked at."""

import shutil
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Page, Route, sync_playwright

FLAGS = [
    "--no-sandbox",  # for root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
LOCAL = ("file:", "data:", "http://127.0.0.1:")


@pytest.fixture(scope="package")
def chromium():
    """Chromium without a window, with a fresh profile."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("there is no chromium on the PATH: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@dataclass(frozen=True)
class Look:
    """A page in a window of its own."""

    page: Page
    said: list[str] = field(default_factory=list)  # to the console
    asked: list[str] = field(default_factory=list)  # of other hosts


@pytest.fixture
def look(chromium):
    """Open an address: `look(address, width=390, scheme="dark")`."""
    contexts = []

    def start(address: str, width: int = 1400, scheme: str = "light") -> Look:
        context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        looked = Look(context.new_page())
        context.route(lambda url: not url.startswith(LOCAL), lambda route: answer(route, looked))
        looked.page.on("console", lambda message: looked.said.append(message.text))
        looked.page.on("pageerror", lambda error: looked.said.append(str(error)))
        looked.page.goto(address)
        return looked

    def answer(route: Route, looked: Look) -> None:
        """Note what would leave this machine, and give nothing for it."""
        looked.asked.append(route.request.url)
        route.fulfill(content_type="text/css", body="")

    yield start
    for context in contexts:
        context.close()
