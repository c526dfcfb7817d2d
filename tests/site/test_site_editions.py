"""The published folder in a browser: menu, banner, ways to the latest, without a server."""

import shutil
from pathlib import Path

import pytest
from site_visit import AUDIT, AXE, NARROW, TOO_WIDE

from book.workflow import editions

pytestmark = pytest.mark.site
TRUST, RESNET = "book/trust.html", "notebooks/03-05-resnet.html"
FILES = ("index.html", "404.html", "sitemap.xml", "releases.xml", "book/index.html", TRUST)
MENU = "#pst-primary-sidebar details.medlib-switch"


@pytest.fixture(scope="module")
def public(site: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Publish a few pages of the site beside an older edition that lacks one of them."""
    root = tmp_path_factory.mktemp("published")
    for name in (*FILES, RESNET):
        (root / "html" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(site / name, root / "html" / name)
    if editions.SWITCH not in (root / "html" / TRUST).read_text("utf-8"):
        pytest.skip("the site was built before there were editions")
    shutil.copytree(site / "_static", root / "html" / "_static")
    old = shutil.copytree(root / "html", root / "old", ignore=shutil.ignore_patterns("_static"))
    (old / RESNET).unlink()
    editions.pack(old, root / "archives" / "site-v9.0.1.zip")
    (root / "CITATION.cff").write_text("version: 9.1.0\n", encoding="utf-8")
    (root / "_config.yml").write_text(
        "title: A book\nrepository: {url: https://github.com/ann/book}\n", encoding="utf-8"
    )
    (root / "CHANGELOG.md").write_text(
        "## [9.1.0] - unreleased\n\n## [9.0.1] - 2030-02-01\n", encoding="utf-8"
    )
    editions.assemble(root, root / "html", root / "archives", root / "public")
    shutil.copytree(root / "html" / "_static", root / "public" / "v9.0" / "_static")
    return (root / "public").as_uri()


@pytest.fixture
def still(browser):
    """A window without scripts."""
    context = browser.new_context(java_script_enabled=False)
    yield context.new_page()
    context.close()


def test_the_menu_works_by_keyboard_and_without_scripts(still, public: str):
    still.goto(f"{public}/v9.0/{TRUST}")
    menu = still.locator(MENU)
    assert menu.locator("summary").inner_text() == "Edition 9.0.1"
    assert not menu.locator("a").first.is_visible()
    menu.locator("summary").press("Enter")
    shown = [link.inner_text() for link in menu.locator("a").all()]
    assert shown == ["latest (9.1.0, unreleased)", "9.0.1 (2030-02-01)"]
    assert menu.locator("[aria-current]").inner_text() == shown[1]
    menu.locator("a").first.press("Enter")
    still.wait_for_url(f"{public}/latest/{TRUST}")
    assert still.locator("article h1").is_visible()


def test_a_page_that_the_other_edition_lacks_leads_to_its_front(still, public: str):
    still.goto(f"{public}/latest/{RESNET}")
    still.locator(f"{MENU} summary").click()
    still.locator(f"{MENU} a").last.click()
    still.wait_for_url(f"{public}/v9.0/book/index.html")


def test_an_old_edition_says_so_and_the_latest_does_not(still, public: str):
    still.goto(f"{public}/latest/{TRUST}")
    assert still.locator(".edition-banner").count() == 0
    still.goto(f"{public}/v9.0/{TRUST}")
    banner = still.locator("article .edition-banner")
    assert "You are reading edition 9.0.1 (2030-02-01)." in banner.inner_text()
    banner.locator("a").click()
    still.wait_for_url(f"{public}/latest/{TRUST}")


def test_addresses_without_an_edition_lead_to_the_latest(page, public: str):
    page.goto(f"{public}/{RESNET}#exercises", wait_until="commit")
    page.wait_for_url(f"{public}/latest/{RESNET}#exercises", wait_until="commit")
    page.goto(f"{public}/404.html")
    page.locator("main a").click()
    page.wait_for_url(f"{public}/latest/book/index.html", wait_until="commit")


def test_menu_and_banner_are_accessible_and_fit_a_phone(page, public: str):
    page.goto(f"{public}/v9.0/{TRUST}")
    page.locator(f"{MENU} summary").click()
    page.evaluate(AXE.read_text(encoding="utf-8"))
    for theme in ("light", "dark"):
        page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
        where = {"include": [[".medlib-switch"], [".edition-banner"]]}
        assert page.evaluate(AUDIT, [where, None]) == [], theme
    height = page.locator(f"{MENU} summary").bounding_box()["height"]
    assert height >= 24, "a finger's target"
    page.set_viewport_size(NARROW)
    assert page.evaluate(TOO_WIDE) == []
    assert page.locator(".edition-banner").is_visible()
