"""Pages in a headless Chromium, without a network."""

import os
import shutil
from contextlib import contextmanager

import pytest

NAMES = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
QUIET = (  # a browser that asks nobody for anything
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def browser():
    """The distribution's Chromium; skipped where there is none."""
    driver = pytest.importorskip("playwright.sync_api", reason="needs a browser: make test-browser")
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip("needs Chromium: make test-browser installs it")
    with driver.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=list(QUIET))
        yield started
        started.close()


UNFOLD = "() => { for (const part of document.querySelectorAll('details.part')) part.open = true; }"
UNDRAWN = """() => [...document.querySelectorAll('.chart')]
    .filter(c => !c.closest('details:not([open])') && !c.querySelector('svg')).length"""


@pytest.fixture
def opened(browser):
    """Open a file: its page, the requests it made and what it complained about."""

    @contextmanager
    def opening(path, *, width=1400, height=900, scheme="light", unfold=True):
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, offline=True
        )
        page = context.new_page()
        page.requests, page.complaints = [], []
        page.on("request", lambda request: page.requests.append(request.url))
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("dialog", lambda dialog: page.complaints.append(f"dialog {dialog.message}"))
        page.goto(path.absolute().as_uri())
        if unfold:
            page.evaluate(UNFOLD)
        for _ in range(300):
            if not page.evaluate(UNDRAWN):
                break
            page.wait_for_timeout(50)
        assert page.evaluate(UNDRAWN) == 0
        yield page
        context.close()

    return opening
