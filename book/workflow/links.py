"""Ask, once a week, whether the addresses that the built pages link to still answer.

``python -m book.workflow.links --profile fast``. An address is broken where its host is unknown or
says that the page is gone; a host that refuses robots, or is out of order, is "cannot tell". Each
host is asked one question at a time, with a pause, and no sooner again than it says.
"""

import argparse
import concurrent.futures
import http.client
import socket
import string
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urldefrag, urlsplit

from book.workflow import chapters
from medlib import paths

AGENT = "Mozilla/5.0 (link check of an open book)"
GONE = {404, 410}
BUSY = {429, 503}  # "too many requests", "out of service": worth a second try
WAIT, LONGEST = 5, 60  # seconds before the second try: where the host names none, and at most
PAUSE = 1  # seconds between two questions to one host
PLACEHOLDER = "set--me"


class _Links(HTMLParser):
    """Collects the targets of links on a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the target of a link to another host."""
        target = dict(attrs).get("href") or ""
        if tag == "a" and target.startswith(("http://", "https://")):
            self.found.add(urldefrag(target).url)


def collect(folder: Path) -> dict[str, list[str]]:
    """Return the outside addresses of a built site, each with the pages that link to it.

    Parameters
    ----------
    folder : Path
        The site, such as ``_build/fast/html``.
    """
    found: dict[str, list[str]] = {}
    for page in sorted(folder.rglob("*.html")):
        parser = _Links()
        parser.feed(page.read_text(encoding="utf-8"))
        for address in parser.found:
            found.setdefault(address, []).append(page.relative_to(folder).as_posix())
    return dict(sorted(found.items()))


def answer(address: str, timeout: float = 20, tries: int = 2) -> str:
    """Ask for an address and return ``ok``, ``broken: ...`` or ``cannot tell: ...``.

    Parameters
    ----------
    address : str
        The address; redirections are followed.
    timeout : float
        Seconds without an answer after which the host counts as out of order.
    tries : int
        How often a host that is busy or out of order is asked.
    """
    try:
        request = urllib.request.Request(quoted(address), headers={"User-Agent": AGENT})
        with urllib.request.urlopen(request, timeout=timeout):
            return "ok"
    except urllib.error.HTTPError as error:
        said = f"{'broken' if error.code in GONE else 'cannot tell'}: {error.code}"
        wait = _seconds(error.headers.get("Retry-After")) if error.code in BUSY else None
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        gone = isinstance(reason, socket.gaierror) or isinstance(error, ValueError)
        said = f"{'broken' if gone else 'cannot tell'}: {reason}"
        wait = WAIT if isinstance(error, OSError) else None
    if wait is None or tries < 2:
        return said
    time.sleep(wait)
    return answer(address, timeout, tries - 1)


def quoted(address: str) -> str:
    """Return an address in the characters that are sent; what is escaped already stays."""
    return urllib.parse.quote(address, safe=string.punctuation)


def _seconds(told: str | None) -> float:
    """Return how long to wait: what a busy host tells, which may also be a date, within limits."""
    return min(float(told), LONGEST) if told and told.isdigit() else WAIT


def ask_all(addresses: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield (address, answer); hosts in parallel, each host one question at a time."""
    hosts: dict[str, list[str]] = {}
    for address in addresses:
        hosts.setdefault(urlsplit(address).netloc, []).append(address)
    with concurrent.futures.ThreadPoolExecutor(max_workers=16) as pool:
        for answers in pool.map(_ask_host, hosts.values()):
            yield from answers


def _ask_host(addresses: list[str]) -> list[tuple[str, str]]:
    """Ask one host for all its addresses, without haste."""
    told = []
    for address in addresses:
        told.append((address, answer(address)))
        time.sleep(PAUSE)
    return told


def ours(address: str) -> bool:
    """Tell whether an address is of this repository or its site, which may not be public yet."""
    repository = chapters.repository_url()
    own = (repository, chapters.site_url(repository), "https://colab.", "https://mybinder.")
    return PLACEHOLDER in address or address.startswith(own)


def main() -> int:
    """Print what does not answer; 1 where an address is broken."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--profile", default="fast")
    pages = collect(paths.build_dir(parser.parse_args().profile) / "html")
    if not pages:
        print("no built site: run make fast first", file=sys.stderr)
        return 2
    told = dict(ask_all(address for address in pages if not ours(address)))
    for address, said in sorted(told.items(), key=lambda item: item[1]):
        if said != "ok":
            print(f"{said:24} {address}  (on {', '.join(pages[address][:3])})")
    broken = sum(said.startswith("broken") for said in told.values())
    print(f"{len(told)} addresses asked, {broken} broken")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
