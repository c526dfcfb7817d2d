"""One local server, one browser, one visit to each page: what the browser tests share.

The site is ``_build/fast/html``, or the folder named by ``MEDLIB_SITE``; the browser is the first
Chromium found, or the program named by ``MEDLIB_BROWSER``. Where one of them is missing the tests
say so: they skip, and fail where ``CI=true``.
"""

import functools
import http.server
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from site_visit import SITE, Visit, pages, visit_page

from book.workflow import test
from tests.absent import missing


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests that take a visit once for each page; once, to say why not, without a site."""
    if "visit" in metafunc.fixturenames:
        names = pages() or [None]
        metafunc.parametrize("visit", names, indirect=True, scope="session", ids=str)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a page in one process where several share the work: one visit does."""
    for item in items:
        called = getattr(item, "callspec", None)
        if called and "visit" in called.params:
            item.add_marker(pytest.mark.xdist_group(str(called.params["visit"])))


@pytest.fixture(scope="session")
def site() -> Path:
    if not (SITE / "index.html").exists():
        missing(f"no site at {SITE}: run 'make fast', or set MEDLIB_SITE to a folder with one")
    return SITE


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files and keeps silent; lets the browser cache what stays the same on all pages."""

    def log_message(self, *_: object) -> None:
        pass

    def end_headers(self) -> None:
        if "/_static/" in self.path:
            self.send_header("Cache-Control", "max-age=600")
        super().end_headers()


@pytest.fixture(scope="session")
def address(site: Path) -> Iterator[str]:
    """Serve the site on 127.0.0.1 and give its address."""
    handler = functools.partial(Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="session")
def browser(site: Path) -> Iterator[Any]:
    program = test.browser()
    if not program or not shutil.which(program):
        missing(f"no Chromium ({program or ', '.join(test.BROWSERS)}): {test.INSTALL_BROWSER}")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=test.BROWSER_FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def desk(browser, address: str):
    """One window for all visits, so that what pages share is loaded once; without animations."""
    context = browser.new_context(
        viewport={"width": 1280, "height": 900}, color_scheme="light", reduced_motion="reduce"
    )
    yield context.new_page()
    context.close()


@pytest.fixture
def page(browser, address: str):
    """A fresh window for a test of its own, with the right to read the clipboard."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=address.rstrip("/"))
    yield context.new_page()
    context.close()


@pytest.fixture(scope="session")
def visit(request: pytest.FixtureRequest, site: Path, address: str, desk) -> Visit:
    """What one visit to a page found; the tests of a page share it."""
    return visit_page(desk, address, request.param)
