"""The glossary's terms: links where they are first used, and nowhere where a link would harm."""

import re

import pytest
import yaml
from markdown_it import MarkdownIt

from book.workflow import chapters, first_uses, source, stage, terms
from book.workflow.first_uses import Page
from book.workflow.terms import Terms

GLOSSARY = """# Glossary

```{glossary}
accuracy
准确率
  Share of cases given the right class.

average precision
平均精度
  Area under a curve of {term}`precision`.

AUC
曲线下面积
  Area under the ROC curve.

bias (of a layer)
偏置
  A constant.

precision
精确率
  Share of the positive ones.

prevalence
患病率
  Share of the diseased.
```

After it.
"""
WORDS = {
    "also": {"AUC": ["area under the curve"], "bias (of a layer)": ["weight and bias"]},
    "by_hand": ["prevalence"],
    "not_meant": ["half precision"],
}
TERMS = Terms.of(GLOSSARY, WORDS)


def linked(*texts: str) -> str:
    return "\n---\n".join(TERMS.link(texts))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The accuracy is high.", "The {term}`accuracy` is high."),
        ("Accuracies differ.", "{term}`Accuracies <accuracy>` differ."),
        ("AUCs, not aucs.", "{term}`AUCs <AUC>`, not aucs."),
        ("an average\n  precision of", "an {term}`average precision` of"),
        ("average-precision here", "{term}`average-precision <average precision>` here"),
        ("the area under the curve", "the {term}`area under the curve <AUC>`"),
        ("a weight and bias", "a {term}`weight and bias <bias (of a layer)>`"),
        ("the model's accuracy's", "the model's {term}`accuracy`'s"),
        ("- accuracy, in a list", "- {term}`accuracy`, in a list"),
        ("*accuracy* in italics", "*{term}`accuracy`* in italics"),
        ("**accuracy** is the share", "**{term}`accuracy`** is the share"),
        ("accuracy $x$ and `accuracy`", "{term}`accuracy` $x$ and `accuracy`"),
        ("`accuracy`, then accuracy", "`accuracy`, then {term}`accuracy`"),
    ],
)
def test_the_first_plain_use_becomes_a_link(text, expected):
    assert linked(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "# Accuracy\n",
        "## On accuracy",
        "accuracy\n========",
        "[the accuracy](trust.md) and ![accuracy](a.png)",
        "[accuracy][1]\n\n[1]: https://example.org/accuracy 'accuracy'",
        "<https://example.org/accuracy> and https://example.org/accuracy.html",
        "`accuracy` and ``a `accuracy` b``",
        "$accuracy$ and $$accuracy$$",
        "$$\naccuracy\n$$ (eq-accuracy)",
        "\\begin{align}\naccuracy\n\\end{align}",
        "| accuracy | 1 |\n|---|---|\n| accuracy | 2 |",
        "> accuracy, quoted",
        "**Accuracy.** A lead",
        "**The accuracy of all** is bold",
        "*On accuracy*, a title",
        "{claim}`accuracy` and {doc}`accuracy </book/trust>` and {term}`accuracy`",
        "{term}`accuracy` comes first, then accuracy",
        "```{figure} a.png\n:alt: accuracy\n\nThe accuracy\n```",
        ":::{note}\naccuracy\n:::",
        "```python\naccuracy\n```",
        "    accuracy = 1",
        "(accuracy)=\n",
        "% accuracy",
        "<div>accuracy</div>",
        "<b title='accuracy'>x</b>",
        "{{ accuracy }}",
        "[x]{.accuracy}",
        "inaccuracy, accuracy-like, pre-accuracy, accuracy_x",
        "the prevalence, by hand only",
        "half precision",
        "the bias, without its layer",
    ],
)
def test_what_gets_no_link(text):
    assert linked(text) == text


def test_only_the_first_use_on_a_page_is_linked():
    text = linked("An accuracy.\n\nIts accuracy.", "The accuracy.\n\nThe AUC.")
    assert text.count("{term}") == 2
    assert text.startswith("An {term}`accuracy`.\n\nIts accuracy.")


def test_a_use_before_the_authors_own_link_is_linked_too():
    assert linked("accuracy, then {term}`accuracy`").startswith("{term}`accuracy`, then")
    assert linked(":::{note}\n{term}`accuracy`\n:::", "accuracy").endswith("\naccuracy")


def test_a_heading_and_its_paragraph_in_one_block():
    assert linked("## The accuracy\nThe accuracy is") == "## The accuracy\nThe {term}`accuracy` is"


def test_where_one_link_is_impossible_the_others_are_made():
    text = "| accuracy |\n|---|\n\n[accuracy](a.md), AUC and accuracy"
    assert linked(text).endswith("[accuracy](a.md), {term}`AUC` and {term}`accuracy`")


def test_a_longer_term_is_not_taken_apart():
    text = linked("The average precision, then precision, then average precision.")
    assert text == "The {term}`average precision`, then {term}`precision`, then average precision."


def test_a_page_without_terms_and_a_glossary_without_entries():
    assert TERMS.link(["", "Nothing here."]) == ["", "Nothing here."]
    assert Terms.of("# Glossary\n", {}).link(["accuracy"]) == ["accuracy"]


def test_first_uses_lead_to_their_sections():
    trust = Page("book/trust", "0.1 Trust", ["# Trust\n\nThe accuracy.\n\n## Seeds\n\nAn AUC."])
    metrics = Page(
        "notebooks/02-05-metrics",
        "2.5 Metrics",
        ["# Metrics\n", "## Counts\n\nThe accuracy.\n\n| precision |\n|---|\n\n## `Counts`\n\nx"],
    )
    text = first_uses.weave([trust, metrics], GLOSSARY)
    lines = dict(re.findall(r"^(\w[^\n]*)\n[^\n]+\n(?:  [^\n]+\n)+\n  (First.*)", text, re.M))
    assert lines["accuracy"] == "First used in {doc}`0.1 Trust </book/trust>`."
    assert lines["AUC"] == "First used in {ref}`0.1 Trust: Seeds <words-trust-seeds>`."
    assert lines["precision"].endswith("`2.5 Metrics: Counts <words-02-05-metrics-counts>`.")
    assert "prevalence" not in lines
    assert "\n\n(words-trust-seeds)=\n## Seeds\n" in trust.texts[0]
    assert metrics.texts[1].startswith("(words-02-05-metrics-counts)=\n## Counts\n\nThe {term}")
    assert text.endswith("\n```\n\nAfter it.\n")


def test_sections_of_one_name_have_labels_of_their_own():
    page = Page("book/a", "A", ["# A\n\n## In code\n\nAUC.\n\n## In code\n\nAccuracy."])
    first_uses.weave([page], GLOSSARY)
    labels = re.findall(r"^\((.+)\)=$", page.texts[0], re.M)
    assert len(labels) == len(set(labels)) == 2


@pytest.fixture(scope="module")
def woven() -> tuple[dict[str, list[str]], dict[str, list[str]], str]:
    """Every page of this checkout before and after, and the glossary."""
    notebooks = {c.document: source.read(c.source) for c in chapters.chapters()}
    before = {
        name: [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
        for name, notebook in notebooks.items()
    }
    after = {name: list(texts) for name, texts in before.items()}
    files = {name.removesuffix(".md"): text.decode() for name, text in stage._with_terms(after)}
    glossary = files.pop(first_uses.DOCUMENT)
    for name, text in files.items():
        before[name] = [(chapters.ROOT / f"{name}.md").read_text("utf-8")]
        after[name] = [text]
    return before, after, glossary


def without_links(text: str) -> str:
    """Take out what staging puts in, so that a page can be compared with its source."""
    text = re.sub(r"^\(words-[\w-]+\)=\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"\{term\}`([^`<]+?)(?:\s*<[^<>`]+>)?`", r"\1", text)
    return re.sub(r"\s+", " ", text)


def test_the_pages_of_the_book_are_their_sources_with_links(woven):
    before, after, _ = woven
    assert set(after) == set(before)
    for name, texts in before.items():
        for old, new in zip(texts, after[name], strict=True):
            assert without_links(new) == without_links(old), name


def test_every_chapter_links_many_terms_and_each_once_at_most(woven):
    before, after, glossary = woven
    known = Terms.of(glossary)
    for name, texts in after.items():
        old = [term for text in before[name] for _, term in known.roles(text)]
        new = [term for text in texts for _, term in known.roles(text)]
        added = sorted(set(new) - set(old))
        assert all(new.count(term) == 1 for term in added), name
        stub = any("WRITE:" in text for text in texts)
        assert stub or not name.startswith("notebooks/") or len(set(new)) >= 12, name


def test_every_term_of_the_glossary_leads_to_its_first_use(woven):
    before, after, glossary = woven
    stubs = any("WRITE:" in text for texts in before.values() for text in texts)
    known = Terms.of(glossary)
    labels = {
        label
        for texts in after.values()
        for text in texts
        for label in re.findall(r"^\((words-[\w-]+)\)=$", text, re.MULTILINE)
    }
    entries = terms.entries(glossary)
    found = [re.search(r"First used in \{(doc|ref)\}`.+ <(.+)>`\.", each) for each in entries]
    lost = [e.split("\n")[0] for e, match in zip(entries, found, strict=True) if not match]
    assert len(entries) == len(known.names) >= 200
    assert lost == [] or stubs
    targets = {match[2] for match in found if match and match[1] == "ref"}
    assert targets == labels
    documents = {match[2].strip("/") for match in found if match and match[1] == "doc"}
    assert documents <= set(after)


def test_headings_stay_as_they_are(woven):
    before, after, _ = woven
    for name, texts in before.items():
        for old, new in zip(texts, after[name], strict=True):
            assert headings(new) == headings(old), name


def headings(text: str) -> list[str]:
    """Return the headings that a parser sees."""
    tokens = MarkdownIt("commonmark").parse(text)
    return [tokens[i + 1].content for i, t in enumerate(tokens) if t.type == "heading_open"]


def test_the_list_of_words_names_terms_that_there_are():
    words = yaml.safe_load(terms.WORDS.read_text("utf-8"))
    known = set(Terms.of((chapters.ROOT / "book/glossary.md").read_text("utf-8")).names.values())
    assert set(words["also"]) | set(words["by_hand"]) <= known
    phrases = [phrase.lower() for phrases in words["also"].values() for phrase in phrases]
    assert len(phrases) == len(set(phrases))
    assert not set(phrases) & {name.lower() for name in known}
