"""The lines that lead from chapters to the pages where a reader tries what they explain."""

import pytest

from book.workflow import chapters, page_links, source, stage

EACH = [(lead, stem) for lead in page_links.LEADS for stem in lead.headings]


@pytest.mark.parametrize(("lead", "stem"), EACH, ids=[f"{e.document}-{s}" for e, s in EACH])
def test_a_chapter_leads_to_the_page_on_the_site_and_not_in_its_source(lead, stem: str):
    chapter = chapters.chapter(stem)
    assert lead.document not in chapter.source.read_text("utf-8")
    page = stage.notebook_page(source.read(chapter.source), chapter, "fast").decode()
    assert page.count(f"../{lead.document}.md") == 1


def test_other_chapters_stay_as_they_are():
    text = page_links.LEADS[0].headings["02-05-metrics"]
    assert page_links.with_links(text, "02-04-losses-gradients", ["book/explorer"]) == text


def test_no_line_leads_to_a_page_that_is_not_in_the_contents():
    text = page_links.LEADS[0].headings["02-05-metrics"]
    assert page_links.with_links(text, "02-05-metrics", []) == text
    assert "explorer.md" in page_links.with_links(text, "02-05-metrics", ["book/explorer"])
