"""No page can load anything from another host, whoever smuggles the line into it."""

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from site_visit import HOME, pages

from book._ext import site_policy

pytestmark = pytest.mark.site

LOAD = """(address) => new Promise((resolve) => {
  const timer = setTimeout(() => resolve("nothing was refused"), 5000);
  addEventListener("securitypolicyviolation", (event) => {
    clearTimeout(timer); resolve(event.effectiveDirective);
  });
  const node = document.createElement("%s");
  node.src = address;
  node.onload = () => resolve("loaded");
  document.body.append(node);
})"""
FETCH = """async (address) => {
  try { await fetch(address, { mode: "no-cors" }); return "sent"; } catch { return "refused"; }
}"""


@pytest.fixture(scope="module")
def stranger() -> Iterator[tuple[str, list[str]]]:
    """Serve from another origin, and give its address and what it was asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/", asked
        server.shutdown()


def test_every_page_states_the_policy_before_it_loads_anything(site: Path):
    late = []
    for name in pages():
        text = (site / name).read_text(encoding="utf-8")
        loads = min(at for each in ("<script", "<link", "<style") if (at := text.find(each)) > 0)
        if not 0 < text.find(site_policy.meta().strip()) < loads:
            late.append(name)
    assert pages()
    assert late == []


@pytest.mark.parametrize(
    ("element", "directive"), [("script", "script-src-elem"), ("img", "img-src")]
)
def test_a_foreign_element_is_refused(page, address: str, stranger, element: str, directive: str):
    page.goto(address + HOME)
    assert page.evaluate(LOAD % element, stranger[0] + element) == directive
    assert f"/{element}" not in stranger[1]


def test_nothing_is_sent_to_another_host(page, address: str, stranger):
    page.goto(address + HOME)
    assert page.evaluate(FETCH, f"{stranger[0]}stolen?cells=1") == "refused"
    assert "/stolen?cells=1" not in stranger[1]
