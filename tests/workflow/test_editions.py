"""The folder to publish, from a toy repository with tags: editions, menus, ways to the latest."""

import json
import re
import shutil
import zipfile
from pathlib import Path

import pytest
from git_runs import git

from book.workflow import editions
from medlib.errors import MedlibError

URL = "https://ann.github.io/book"
MAKEFILE = """book:
\tmkdir -p _build/cpu
\tcp -r pages _build/cpu/html
"""
RELEASES = {"v0.1.0": "2026-11-01", "v0.1.1": "2026-11-05", "v0.2.0": "2026-11-09"}
PAGE = f"""<!DOCTYPE html><html lang="en"><head><link rel="canonical" href="{URL}/latest/%s"></head>
<body><a href="https://colab.research.google.com/github/Ann/book/blob/main/notebooks/a.ipynb">C</a>
<a href="https://mybinder.org/v2/gh/Ann/book/main?urlpath=lab/tree/notebooks/a.ipynb">B</a>
<nav>{editions.SWITCH}</nav><main>{editions.BANNER}<h1>%s</h1></main></body></html>"""

pytestmark = pytest.mark.skipif(not (shutil.which("git") and shutil.which("make")), reason="tools")


def write_site(folder: Path, pages: tuple[str, ...], mark: str = "") -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for page in ("index.html", "book/index.html", "404.html", *pages):
        path = folder / page
        path.parent.mkdir(parents=True, exist_ok=True)
        language = "zh-CN" if page.startswith("zh/") else "en"
        text = (PAGE % (page, f"{page} {mark}")).replace('lang="en"', f'lang="{language}"')
        path.write_text(text, encoding="utf-8")
    for name in ("sitemap.xml", "zh/sitemap.xml", "releases.xml"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(f"<{mark}/>", encoding="utf-8")
    (folder / "_static").mkdir()
    (folder / "_static" / "frame.html").write_text(editions.SWITCH, encoding="utf-8")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch) -> Path:
    """A checkout on the way to 0.3.0 with three tags, of which the second corrects the first."""
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    root = tmp_path / "checkout"
    root.mkdir()
    git(root, "init", "-q")
    (root / "Makefile").write_text(MAKEFILE, encoding="utf-8")
    (root / ".gitignore").write_text("_build\n", encoding="utf-8")
    (root / "_config.yml").write_text(
        "title: Nets & more\nrepository: {url: https://github.com/Ann/book}\n", encoding="utf-8"
    )
    for tag, day in RELEASES.items():
        old = tag.startswith("v0.1")
        pages = ("notebooks/old.html",) if old else ("notebooks/one.html", "zh/index.html")
        write_site(root / "pages", pages, tag)
        git(root, "add", ".")
        git(root, "commit", "-q", "-m", tag, day=day)
        git(root, "tag", tag)
    git(root, "tag", "not-a-release")
    write_version(root, "0.3.0", "unreleased")
    new = ("notebooks/one.html", "notebooks/new.html", "search.html", "zh/book/index.html")
    write_site(root / "_build/cpu/html", new, "now")
    return root


def write_version(root: Path, version: str, day: str) -> None:
    older = "".join(f"\n## [{tag[1:]}] - {RELEASES[tag]}\n" for tag in reversed(RELEASES))
    (root / "CHANGELOG.md").write_text(f"## [{version}] - {day}\n{older}", encoding="utf-8")
    (root / "CITATION.cff").write_text(f"version: {version}\n", encoding="utf-8")


def assemble(root: Path) -> Path:
    build = root / "_build"
    editions.assemble(root, build / "cpu/html", build / "archives", build / "public")
    return build / "public"


def links(text: str, kind: str) -> dict[str, str]:
    """Return the links of the menu or of the banner: what they say -> where they lead."""
    part = text.partition(f'class="{kind}"')[2].partition(
        "</nav>" if "switch" in kind else "</div>"
    )
    return {m[2]: m[1] for m in re.finditer(r'href="([^"]*)"[^>]*>([^<]*)<', part[0])}


def test_each_edition_has_its_folder_and_the_last_correction_wins(checkout):
    public = assemble(checkout)
    assert {path.name for path in public.glob("v*")} == {"v0.1", "v0.2"}
    assert "v0.1.1</h1>" in (public / "v0.1/notebooks/old.html").read_text("utf-8")
    assert "now</h1>" in (public / "latest/notebooks/one.html").read_text("utf-8")
    assert json.loads((public / "editions.json").read_text("utf-8")) == [
        {"name": "latest", "version": "0.3.0", "released": None},
        {"name": "v0.2", "version": "0.2.0", "released": "2026-11-09"},
        {"name": "v0.1", "version": "0.1.1", "released": "2026-11-05"},
    ]
    assert not list(checkout.glob("_build/**/*.part")) + list(checkout.glob("_build/**/*.tree"))


def test_the_menu_leads_to_the_same_page_where_there_is_one(checkout):
    public = assemble(checkout)
    page = public / "v0.2/notebooks/one.html"
    text = page.read_text("utf-8")
    found = links(text, "medlib-switch")
    assert found == {
        "latest (0.3.0, unreleased)": "../../latest/notebooks/one.html",
        "0.2.0 (2026-11-09)": "../../v0.2/notebooks/one.html",
        "0.1.1 (2026-11-05)": "../../v0.1/index.html",
    }
    assert '"../../v0.2/notebooks/one.html" aria-current="true"' in text
    assert text.count("aria-current") == 1
    assert "<summary>Edition <strong>0.2.0</strong></summary>" in text
    assert links(text, "edition-banner") == {
        "The latest edition of this page": "../../latest/notebooks/one.html"
    }


def test_every_link_between_editions_leads_to_a_file(checkout):
    public = assemble(checkout)
    pages = [path for path in public.rglob("*.html") if "medlib-switch" in path.read_text("utf-8")]
    assert len(pages) == 7 + 5 + 4
    for page in pages:
        text = page.read_text("utf-8")
        targets = {**links(text, "medlib-switch"), **links(text, "edition-banner")}.values()
        assert all((page.parent / target).resolve().is_file() for target in targets), page
        assert editions.SWITCH not in text


def test_only_old_editions_have_a_banner(checkout):
    public = assemble(checkout)
    marked = {p.relative_to(public).parts[0] for p in public.rglob("*.html")
              if "edition-banner" in p.read_text("utf-8")}  # fmt: skip
    assert marked == {"v0.1", "v0.2"}
    gone = (public / "v0.1/notebooks/old.html").read_text("utf-8")
    assert "You are reading edition 0.1.1 (2026-11-05)." in gone
    assert links(gone, "edition-banner") == {
        "The latest edition, which does not have this page": "../../latest/index.html"
    }


def test_a_released_page_opens_the_copy_of_its_release(checkout):
    public = assemble(checkout)
    for name, branch in {"latest": "main", "v0.1": "v0.1.1"}.items():
        text = (public / name / "book/index.html").read_text("utf-8")
        assert f"/github/Ann/book/blob/{branch}/notebooks/a.ipynb" in text
        assert f"/v2/gh/Ann/book/{branch}?urlpath=lab/tree/notebooks/a.ipynb" in text


def test_a_chinese_page_has_a_chinese_menu(checkout):
    text = (assemble(checkout) / "latest/zh/book/index.html").read_text("utf-8")
    assert links(text, "medlib-switch") == {
        "最新版 (0.3.0, 未发布)": "../../../latest/zh/book/index.html",
        "0.2.0 (2026-11-09)": "../../../v0.2/zh/index.html",
        "0.1.1 (2026-11-05)": "../../../v0.1/index.html",
    }


def test_files_without_an_edition_lead_to_the_latest(checkout):
    public = assemble(checkout)
    page = (public / "notebooks/one.html").read_text("utf-8")
    assert 'url=../latest/notebooks/one.html"' in page
    assert f'rel="canonical" href="{URL}/latest/notebooks/one.html"' in page
    assert "Nets &amp; more" in page
    assert 'url=latest/index.html"' in (public / "index.html").read_text("utf-8")
    assert not (public / "notebooks/old.html").exists()
    assert f'"{URL}/latest/search.html"' in (public / "404.html").read_text("utf-8")
    maps = re.findall("<loc>(.*)</loc>", (public / "sitemap.xml").read_text("utf-8"))
    assert maps == [f"{URL}/latest/sitemap.xml", f"{URL}/latest/zh/sitemap.xml"]
    assert (public / "releases.xml").read_text("utf-8") == "<now/>"


def test_a_kept_site_is_not_built_again(checkout):
    first = assemble(checkout)
    before = {p.relative_to(first): p.read_bytes() for p in first.rglob("*") if p.is_file()}
    archives = checkout / "_build/archives"
    assert {p.name for p in archives.iterdir()} == {"site-v0.1.1.zip", "site-v0.2.0.zip"}
    git(checkout, "tag", "-d", *RELEASES)  # as in a clone without tags: the archives say enough
    second = assemble(checkout)
    after = {p.relative_to(second): p.read_bytes() for p in second.rglob("*") if p.is_file()}
    assert after == before, "the same archives give the same folder"
    with zipfile.ZipFile(archives / "site-v0.2.0.zip") as kept:
        assert editions.SWITCH in kept.read("index.html").decode(), "kept as it was built"


def test_the_release_that_is_checked_out_is_the_site_that_was_just_built(checkout):
    write_version(checkout, "0.3.0", "2026-11-20")
    git(checkout, "add", ".")
    git(checkout, "commit", "-q", "-m", "0.3.0")
    git(checkout, "tag", "v0.3.0")
    public = assemble(checkout)
    for name in ("latest", "v0.3"):
        text = (public / name / "notebooks/new.html").read_text("utf-8")
        assert "now</h1>" in text
        assert "edition-banner" not in text
        assert "unreleased" not in text
        assert "latest (0.3.0)" in links(text, "medlib-switch")


def test_one_edition_needs_no_menu(checkout):
    git(checkout, "tag", "-d", *RELEASES)
    text = (assemble(checkout) / "latest/book/index.html").read_text("utf-8")
    assert "medlib-switch" not in text


def test_what_cannot_be_published_is_refused_in_one_line(checkout):
    build = checkout / "_build"
    with pytest.raises(MedlibError, match="run make book first"):
        editions.assemble(checkout, build / "none", build / "archives", build / "public")
    write_version(checkout, "0.1.2", "2026-11-20")
    with pytest.raises(MedlibError, match="version 0.1.2, older than v0.2.0"):
        assemble(checkout)


def test_a_tag_that_cannot_be_built_any_more_is_named_and_leaves_nothing(checkout):
    (checkout / "Makefile").write_text("book:\n\tfalse\n", encoding="utf-8")
    git(checkout, "add", ".")
    git(checkout, "commit", "-q", "-m", "broken")
    git(checkout, "tag", "v0.2.1")
    with pytest.raises(MedlibError, match="get site-v0.2.1.zip from its release"):
        assemble(checkout)
    assert not list((checkout / "_build/archives").iterdir())
    assert not (checkout / "_build/public").exists()
