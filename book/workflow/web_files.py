"""Files of the site that are no pages of the book: map, feed, 404, pages at old addresses.

All are made from contents, changelog and history alone: the same checkout gives the same bytes.
"""

import html
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from string import Template
from urllib.parse import urlsplit
from xml.etree import ElementTree as Xml

from markdown_it import MarkdownIt

from book._ext.site_policy import meta as policy
from book.workflow import catalogues, changed, languages
from book.workflow.completed import UNRELEASED, VERSION
from medlib.errors import MedlibError
from medlib.yaml_text import parsed

SITEMAP = "http://www.sitemaps.org/schemas/sitemap/0.9"
ATOM = "http://www.w3.org/2005/Atom"
ADDRESS = re.compile(r"[a-z0-9-]+(?:/[a-z0-9-]+)*")
RELEASES = "book/releases"
LOST = "404.html"
FEED = "releases.xml"
MAP = "sitemap.xml"

LOOK = """
  :root { color-scheme: light; --paper: #ffffff; --ink: #1d2125; --link: #0b5ea8; }
  @media (prefers-color-scheme: dark) {
    :root:not([data-theme="light"]) {
      color-scheme: dark; --paper: #121417; --ink: #e6e8ea; --link: #8cc4ff;
    }
  }
  :root[data-theme="dark"] {
    color-scheme: dark; --paper: #121417; --ink: #e6e8ea; --link: #8cc4ff;
  }
  body { background: var(--paper); color: var(--ink); font: 1.05rem/1.6 system-ui, sans-serif; }
  main { margin: 12vh auto; max-width: 36rem; padding: 0 1rem; }
  a { color: var(--link); }
  input, button { font: inherit; max-width: 100%; padding: 0.3rem 0.6rem; }
"""

# Served for any missing address, at any depth: so its links are whole addresses, which the script
# turns to the copy of the site that is being read, such as one on this computer.
NOT_FOUND = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
$policy<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<link rel="icon" href="data:,">
<title>No page has this address: $title</title>
<style>$look</style>
</head>
<body>
<main>
<article>
<h1>No page has this address</h1>
<p>It may have moved, or the address has a slip. Search the book:</p>
<form action="$url/${inside}search.html" data-to="${inside}search.html" role="search">
<input type="search" name="q" aria-label="Search the book">
<button>Search</button>
</form>
<p>Or go to
<a href="$url/$inside$home" data-to="$inside$home">the first page of <em>$title</em></a>,
which leads to all others.</p>
</article>
</main>
<script>
const published = "$path/";
const base = location.protocol === "file:" ? "./"
  : location.pathname.startsWith(published) ? published : "/";
for (const each of document.querySelectorAll("[data-to]")) {
  each.setAttribute(each.tagName === "FORM" ? "action" : "href", base + each.dataset.to);
}
const mode = localStorage.getItem("mode");
if (mode === "light" || mode === "dark") document.documentElement.dataset.theme = mode;
</script>
</body>
</html>
""")

FORWARD = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
$policy<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<link rel="canonical" href="$address">
<link rel="icon" href="data:,">
<meta http-equiv="refresh" content="0; url=$link">
<style>$look</style>
</head>
<body>
<main>
<article>
<h1>$title</h1>
<p>This page has <a href="$link">a new address</a>.</p>
</article>
</main>
<script>location.replace("$link" + location.search + location.hash);</script>
</body>
</html>
""")


def not_found(url: str, title: str, home: str, inside: str = "") -> str:
    """Return the page for addresses that do not exist.

    Parameters
    ----------
    url : str
        Address of the site, without a last slash.
    title : str
        Title of the book.
    home : str
        Address of its first page, and
    inside : str
        folder with a last slash, below the site, that holds this page and the search.
    """
    title, path = html.escape(title), urlsplit(url).path
    return NOT_FOUND.substitute(
        url=url, title=title, home=home, inside=inside, path=path, look=LOOK, policy=policy()
    )


def moved(path: Path, documents: Iterable[str]) -> dict[str, str]:
    """Read where pages have moved, old name to new name; empty without such a file.

    Parameters
    ----------
    path : Path
        ``book/moved.yml``.
    documents : iterable of str
        The pages that there are.

    Raises
    ------
    MedlibError
        Where an old address is not free, or a new one leads nowhere.
    """
    if not path.exists():
        return {}
    found, known = parsed(path.read_text("utf-8")) or {}, set(documents)
    for old, new in found.items():
        if not ADDRESS.fullmatch(old) or old in known:
            raise MedlibError(f"{path.name}: {old!r} is a page, or not of the form folder/name")
        if new not in known:
            raise MedlibError(f"{path.name}: {old!r} leads to {new!r}, which is no page")
    return found


def redirect(old: str, new: str, url: str) -> str:
    """Return the page at an old address: it leads on, with or without scripts."""
    link = "../" * old.count("/") + f"{new}.html"
    return forward(f"Moved: {old}", link, f"{url}/{new}.html")


def forward(title: str, link: str, address: str) -> str:
    """Return a page that leads to another one, with or without scripts.

    Parameters
    ----------
    title : str
        What the page says until the browser has gone on.
    link : str
        Way to the other page.
    address : str
        Its whole address, for search engines.
    """
    return FORWARD.substitute(
        title=html.escape(title), link=link, address=address, look=LOOK, policy=policy()
    )


def sitemap(documents: Iterable[str], url: str, days: Mapping[str, str]) -> str:
    """Return the list of all pages for search engines, sorted.

    Parameters
    ----------
    documents : iterable of str
        Sphinx's names of the pages.
    url : str
        Address of the site, without a last slash.
    days : mapping of str to str
        Day of the last change by source, as `book.workflow.changed.days` returns it.
    """
    root = Xml.Element("urlset", xmlns=SITEMAP)
    for document in sorted(documents):
        entry = Xml.SubElement(root, "url")
        Xml.SubElement(entry, "loc").text = f"{url}/{document}.html"
        if f"{document}.md" in days:
            Xml.SubElement(entry, "lastmod").text = days[f"{document}.md"]
    return _written(root)


def sitemap_index(addresses: Iterable[str]) -> str:
    """Return the list of several maps, one for each language, sorted."""
    root = Xml.Element("sitemapindex", xmlns=SITEMAP)
    for address in sorted(addresses):
        Xml.SubElement(Xml.SubElement(root, "sitemap"), "loc").text = address
    return _written(root)


def feed(changelog: str, url: str, title: str) -> str:
    """Return the editions of a changelog as RSS 2.0, the newest first.

    Parameters
    ----------
    changelog : str
        In the form of Keep a Changelog.
    url : str
        Address of the site, without a last slash.
    title : str
        Title of the book.
    """
    Xml.register_namespace("atom", ATOM)
    root = Xml.Element("rss", version="2.0")
    channel = Xml.SubElement(root, "channel")
    Xml.SubElement(channel, "title").text = f"{title}: editions"
    Xml.SubElement(channel, "link").text = f"{url}/{RELEASES}.html"
    Xml.SubElement(channel, "description").text = "What each edition of the book changes."
    Xml.SubElement(channel, "language").text = "en"
    itself = {"href": f"{url}/{FEED}", "rel": "self", "type": "application/rss+xml"}
    Xml.SubElement(channel, f"{{{ATOM}}}link", itself)
    _, *pieces = VERSION.split(changelog)  # version, date and notes of each edition in turn
    for version, date, notes in zip(*[iter(pieces)] * 3, strict=True):
        _add_edition(channel, version, date, notes, url)
    return _written(root)


def _add_edition(channel: Xml.Element, version: str, date: str, notes: str, url: str) -> None:
    """Add one edition; before its release it has no date and a name that readers see change."""
    released = date != UNRELEASED
    item = Xml.SubElement(channel, "item")
    Xml.SubElement(item, "title").text = f"Edition {version}" + ("" if released else ", to come")
    Xml.SubElement(item, "link").text = f"{url}/{RELEASES}.html"
    name = f"{url}/{RELEASES}.html#{version}" + ("" if released else "-to-come")
    Xml.SubElement(item, "guid", isPermaLink="false").text = name
    if released:
        day = datetime.fromisoformat(date).replace(tzinfo=UTC)
        Xml.SubElement(item, "pubDate").text = format_datetime(day, usegmt=True)
    Xml.SubElement(item, "description").text = MarkdownIt("commonmark").render(notes.strip())


def _written(root: Xml.Element) -> str:
    Xml.indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{Xml.tostring(root, encoding="unicode")}\n'


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Write files below a folder, each where its content differs."""
    for name, text in files.items():
        path = folder / name
        if not path.exists() or path.read_text("utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")


def beside(documents: Iterable[str], url: str, title: str, home: str, root: Path) -> dict[str, str]:
    """Return all files of the site that are no pages of the book, by name.

    Parameters
    ----------
    documents, url, title, home
        As for `sitemap` and `not_found`.
    root : Path
        The checkout.
    """
    documents = sorted(documents)
    known = list(documents)
    changelog = root / "CHANGELOG.md"
    notes = changelog.read_text("utf-8") if changelog.exists() else ""
    old = moved(root / "book" / "moved.yml", known)
    days = changed.days(root)
    for each in languages.LANGUAGES:
        for page in set(languages.pages(each, root)) & set(documents):
            catalogue = catalogues.file_of(each.code, page, root).relative_to(root).as_posix()
            known.append(f"{each.folder}/{page}")
            days |= {f"{known[-1]}.md": days[catalogue]} if catalogue in days else {}
    return {
        LOST: not_found(url, title, home),
        MAP: sitemap(known, url, days),
        FEED: feed(notes, url, title),
        **{f"{each}.html": redirect(each, new, url) for each, new in old.items()},
    }
