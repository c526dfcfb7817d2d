"""`make editions`: the folder to publish, with the latest site and the site of each release.

``_build/public`` holds ``latest/``, the site of this checkout; ``vX.Y/``, the site of the newest
tag ``vX.Y`` or ``vX.Y.Z``; and at addresses without an edition, which citations and the copies for
Colab hold, pages that lead to the latest. Released sites are kept as ``site-vX.Y.Z.zip``: in a
folder of archives, and with their releases. One that is missing there is built from its tag.

Menu and banner are written into the finished pages, in place of two comments that the templates
leave: so an old site, which cannot know of newer ones, needs no other change, and no script.
"""

import argparse
import html
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from book.workflow import chapters, completed, languages, web_files
from book.workflow.chapters import edition_folder, tag_numbers
from book.workflow.plainly import plainly
from medlib import paths
from medlib.errors import MedlibError
from medlib.yaml_text import parsed

SWITCH = "<!-- menu of the editions -->"  # stands in book/_templates/edition-switch.html
BANNER = "<!-- banner of an old edition -->"  # is put before each page by the Sphinx extension
FRONT = "index.html"
APART = {"_static", "_sources", "_images"}  # folders without pages
COPY = re.compile(  # the branch in a link to the copy for Colab, or to the same copy in Binder
    r'(https://colab\.[^"]*?/blob|https://mybinder\.[^"]*?/gh/[^/"]+/[^/"]+)/[^/"?]+(?=[/?])'
)
ROOM = 1000  # MB that GitHub Pages publishes
INHERITED = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS", "PYTHONPATH", "VIRTUAL_ENV", "MEDLIB_BUILD"}
WORDS = {  # by the beginning of the page's language
    "en": {
        "edition": "Edition",
        "latest": "latest",
        "unreleased": "unreleased",
        "old": "You are reading edition {old}.",
        "new": "The latest edition of this page",
        "gone": "The latest edition, which does not have this page",
    },
    "zh": {
        "edition": "版本",
        "latest": "最新版",
        "unreleased": "未发布",
        "old": "您正在阅读 {old} 版。",
        "new": "本页的最新版",
        "gone": "最新版（其中没有本页）",
    },
}


@dataclass(frozen=True)
class Edition:
    """A site that is published, and where.

    Attributes
    ----------
    name : str
        Its folder: ``latest``, or ``v0.1``.
    version : str
        Version of the book, such as ``0.1.2``.
    day : str
        Day of its release; empty before it.
    pages : frozenset of str
        Addresses of its pages below its folder, such as ``book/index.html``.
    """

    name: str
    version: str
    day: str
    pages: frozenset[str]

    @property
    def newest(self) -> bool:
        """Whether it is the site of the checkout."""
        return self.name == chapters.LATEST

    def shown(self, words: Mapping[str, str]) -> str:
        """Return what the menu calls it: ``0.1.2 (2026-12-01)``, ``latest (0.2.0, unreleased)``."""
        if not self.newest:
            return f"{self.version} ({self.day})" if self.day else self.version
        return f"{words['latest']} ({self.version}{'' if self.day else ', ' + words['unreleased']})"


def assemble(root: Path, site: Path, archives: Path, target: Path) -> list[Edition]:
    """Write the folder to publish and return its editions, the latest first.

    Parameters
    ----------
    root : Path
        The checkout; its tags name the released editions.
    site : Path
        The built site of the checkout.
    archives : Path
        Folder of ``site-vX.Y.Z.zip``. What a tag lacks there is built from it, and added.
    target : Path
        The folder to write; an older one is replaced when the new one is whole.

    Raises
    ------
    MedlibError
        Where the site is missing, or older than a released edition; where a tag cannot be built.
    """
    if not (site / FRONT).exists():
        raise MedlibError(f"no site at {site}: run make book first")
    version, days = checkout_version(root), completed.releases(root)
    tags = released(root, archives)
    newer = [tag for tag in tags if tag_numbers(tag) > tag_numbers(f"v{version}")]
    if newer:
        raise MedlibError(
            f"this checkout is version {version}, older than {newer[0]}: publish from the newest"
        )
    keep_archives(root, tags, site, archives, version)
    draft = target.with_name(f"{target.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    shutil.copytree(site, draft / chapters.LATEST)
    found = [_edition(chapters.LATEST, version, days, draft)]
    for tag in tags:
        shutil.unpack_archive(archives / archive_name(tag), draft / edition_folder(tag), "zip")
        found.append(_edition(edition_folder(tag), tag.removeprefix("v"), days, draft))
    for each in found:
        mark_pages(draft, each, found)
    web_files.write(draft, at_root(root, draft, found))
    shutil.rmtree(target, ignore_errors=True)
    draft.replace(target)
    return found


def checkout_version(root: Path) -> str:
    """Return the version of a checkout, as its citation file says it."""
    return str(parsed((root / "CITATION.cff").read_text("utf-8"))["version"])


def archive_name(tag: str) -> str:
    """Return the name under which the site of a release is kept."""
    return f"site-{tag}.zip"


def released(root: Path, archives: Path) -> list[str]:
    """Return the tag of each released edition, the newest first, of each the last correction."""
    kept = (path.stem.removeprefix("site-") for path in archives.glob("site-v*.zip"))
    tags = {tag for tag in [*kept, *_tags(root)] if chapters.TAG.fullmatch(tag)}
    last = {edition_folder(tag): tag for tag in sorted(tags, key=tag_numbers)}
    return sorted(last.values(), key=tag_numbers, reverse=True)


def keep_archives(
    root: Path, tags: Sequence[str], site: Path, archives: Path, version: str
) -> None:
    """Make the archives that are missing: of this checkout where it has the tag, or of a build."""
    archives.mkdir(parents=True, exist_ok=True)
    here = _tags(root, "--points-at", "HEAD")
    for tag in tags:
        path = archives / archive_name(tag)
        if path.exists():
            continue
        if tag in here and tag_numbers(tag) == tag_numbers(f"v{version}"):
            pack(site, path)
        else:
            build_tag(root, tag, path)


def build_tag(root: Path, tag: str, path: Path) -> None:
    """Build the site of a tag with the tag's own code and packages, and keep it.

    Parameters
    ----------
    root : Path
        The checkout.
    tag : str
        The release.
    path : Path
        The archive to write.

    Raises
    ------
    MedlibError
        Where its build fails.
    """
    print(f"{tag}: no {path.name} in {path.parent}; building it from its tag, about an hour ...")
    tree = path.parent / f"{tag}.tree"
    _git(root, "worktree", "prune")
    if tree.exists():
        _git(root, "worktree", "remove", "--force", str(tree))
    _git(root, "worktree", "add", "--detach", str(tree), tag)
    environment = {key: value for key, value in os.environ.items() if key not in INHERITED}
    try:
        done = subprocess.run(["make", "book", "PROFILE=cpu"], cwd=tree, env=environment)
        if done.returncode:
            raise MedlibError(
                f"{tag} cannot be built any more: get {path.name} from its release on GitHub and "
                f"put it into {path.parent}"
            )
        pack(tree / "_build" / "cpu" / "html", path)
    finally:
        _git(root, "worktree", "remove", "--force", str(tree))


def pack(site: Path, path: Path) -> None:
    """Keep a site as a zip archive."""
    with paths.whole_file(path) as draft:
        Path(shutil.make_archive(str(draft), "zip", site)).replace(draft)


def mark_pages(folder: Path, here: Edition, editions: Sequence[Edition]) -> None:
    """Write the menu into all pages of an edition; on a released one the banner and its copies.

    What Colab and Binder open from a released page is the copy of that release.

    Parameters
    ----------
    folder : Path
        The folder to publish.
    here : Edition
        The one whose pages are written.
    editions : sequence of Edition
        All, the latest first.
    """
    for page in sorted(here.pages):
        path = folder / here.name / page
        text = path.read_text("utf-8")
        words = WORDS["zh" if '<html lang="zh' in text else "en"]
        for comment, made in (
            (SWITCH, menu(page, here, editions, words)),
            (BANNER, banner(page, here, editions[0], words)),
        ):
            text = text.replace(comment, made)
        if not here.newest:
            text = COPY.sub(rf"\1/v{here.version}", text)
        path.write_text(text, encoding="utf-8")


def menu(
    page: str, here: Edition, editions: Sequence[Edition], words: Mapping[str, str] = WORDS["en"]
) -> str:
    """Return the menu that leads from a page to the same page of each edition.

    A list in HTML's own fold needs no script and is read as what it is. With one edition there is
    nothing to choose.
    """
    if len(editions) < 2:
        return ""
    marked = {here.name: ' aria-current="true"'}
    entries = "\n".join(
        f'<li><a href="{link(page, each)}"{marked.get(each.name, "")}>'
        f"{html.escape(each.shown(words))}</a></li>"
        for each in editions
    )
    name = words["latest"] if here.newest else here.version
    return (
        '<details class="medlib-switch">\n'
        f"<summary>{words['edition']} <strong>{html.escape(name)}</strong></summary>\n"
        f"<ul>\n{entries}\n</ul>\n</details>"
    )


def banner(
    page: str, here: Edition, latest: Edition, words: Mapping[str, str] = WORDS["en"]
) -> str:
    """Return the line that leads from an old edition to the latest; none where it is the same."""
    if here.newest or here.version == latest.version:
        return ""
    old = words["old"].format(old=html.escape(here.shown(words)))
    text = words["new" if page in latest.pages else "gone"]
    return (
        f'<div class="edition-banner"><p>{old} <a href="{link(page, latest)}">{text}</a></p></div>'
    )


def link(page: str, edition: Edition) -> str:
    """Return the way from a page to the same one of an edition, or to its first page."""
    folder = page.partition("/")[0]
    translated = folder in {each.folder for each in languages.LANGUAGES}
    language = f"{folder}/{FRONT}" if translated else FRONT
    there = next(each for each in (page, language, FRONT) if each in edition.pages | {FRONT})
    return f"{'../' * (page.count('/') + 1)}{edition.name}/{there}"


def at_root(root: Path, folder: Path, editions: Sequence[Edition]) -> dict[str, str]:
    """Return the files above the editions by name: ways to the latest, map, feed, 404, list.

    Parameters
    ----------
    root : Path
        The checkout.
    folder : Path
        The folder to publish.
    editions : sequence of Edition
        All, the latest first.
    """
    latest, url = editions[0], chapters.site_url(chapters.repository_url(root))
    title = parsed((root / "_config.yml").read_text("utf-8"))["title"]
    forwards = {
        page: web_files.forward(
            title, f"{'../' * page.count('/')}{latest.name}/{page}", f"{url}/{latest.name}/{page}"
        )
        for page in latest.pages - {web_files.LOST}
    }
    below = folder / latest.name
    maps = (path.relative_to(folder).as_posix() for path in below.rglob(web_files.MAP))
    told = [{"name": e.name, "version": e.version, "released": e.day or None} for e in editions]
    home = next(p for p in ("book/index.html", FRONT) if p in latest.pages)
    return {
        **forwards,
        web_files.MAP: web_files.sitemap_index(f"{url}/{name}" for name in maps),
        web_files.FEED: (below / web_files.FEED).read_text("utf-8"),
        web_files.LOST: web_files.not_found(url, title, home, f"{latest.name}/"),
        "editions.json": json.dumps(told, indent=1) + "\n",
    }


def _edition(name: str, version: str, days: Mapping[str, str], folder: Path) -> Edition:
    """Describe a site that lies in its place."""
    return Edition(name, version, days.get(version, ""), frozenset(_pages(folder / name)))


def _pages(site: Path) -> Iterator[str]:
    for path in site.rglob("*.html"):
        inside = path.relative_to(site)
        if not APART & set(inside.parts):
            yield inside.as_posix()


def _tags(root: Path, *which: str) -> list[str]:
    """Return the tags of a checkout; an unpacked archive of the sources has none."""
    return _git(root, "tag", "--list", *which).split() if (root / ".git").exists() else []


def _git(root: Path, *arguments: str) -> str:
    """Return what git prints.

    Raises
    ------
    MedlibError
        With git's own words, where it fails.
    """
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True)
    if done.returncode:
        raise MedlibError(f"git {arguments[0]}: {' '.join(done.stderr.split())}")
    return done.stdout


def main(argv: list[str] | None = None) -> int:
    """Assemble the folder and say what is in it."""
    parser = argparse.ArgumentParser(prog="make editions", description=__doc__.split("\n")[0])
    parser.add_argument("--profile", default="cpu")
    parser.add_argument("--from", dest="archives", type=Path, help="folder of site-vX.Y.Z.zip")
    args = parser.parse_args(argv)
    build = paths.build_dir(args.profile)
    target, archives = build.parent / "public", args.archives or build.parent / "archives"
    found = assemble(chapters.ROOT, build / "html", archives, target)
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file()) / 1e6
    for each in found:
        print(f"{each.name:8} {each.shown(WORDS['en'])}, {len(each.pages)} pages")
    print(f"{target}: {size:.0f} MB; GitHub Pages publishes {ROOM} MB at most")
    return 1 if size > ROOM else 0


if __name__ == "__main__":
    sys.exit(plainly("make editions", main))
