"""Sphinx roles and tables that show the values of claims, never typed by hand.

``{claim}`` shows the value that the run behind the page recorded, with the published value and the
verdict in its tooltip and in text for screen readers. In profile ``fast``, on phantoms, and where
a chapter was not run it shows the published value, marked. ``{measured}`` does the same for times
and memory. ``{claims-table}`` and ``{results-table}`` list many claims.

A page is rebuilt when what it shows has changed, and only then: the text of every value is kept in
the environment and compared before the next build.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxRole

from book.workflow import languages
from book.workflow.words import _
from medlib import results, verify
from medlib.claims import Claim, format_number, format_value, headlines, read_claims
from medlib.profiles import PROFILES

LOGGER = logging.getLogger(__name__)
BADGES = {
    "reproduced": "\N{CHECK MARK}",
    "differs": "\N{NOT EQUAL TO}",
    "unknown": "?",
    "not-run": "",
}
SHORT = {"reproduced": "reproduced", "differs": "differs", "cannot tell": "unknown"}
INTERVAL = re.compile(r"(?P<value>\S+) \(95 % CI (?P<low>\S+) to (?P<high>\S+)\)")
OFTEN_SAID = (  # by medlib.verify, here for the catalogue of the site's words
    _("reproduced"),
    _("differs"),
    _("cannot tell"),
    _("the same value"),
    _("computed from the committed long runs"),
)


@dataclass(frozen=True)
class Shown:
    """What a page shows of one claim or measurement.

    Attributes
    ----------
    text : str
        The value, with its interval where it has one, or why there is none.
    state : {"reproduced", "differs", "unknown", "not-run", "measured"}
        Ending of the CSS class.
    note : str
        The sentence behind the value.
    mark : str
        A visible word beside a value that is not this run's; else empty.
    """

    text: str
    state: str
    note: str = ""
    mark: str = ""


class Edition:
    """The results that the pages of one build show.

    Parameters
    ----------
    profile : str
        Profile of the run.
    build, published : Path
        The build folder, and the folder ``results`` that holds the published editions.
    """

    def __init__(self, profile: str, build: Path, published: Path) -> None:
        self.profile = profile
        self.results = profile in PROFILES and PROFILES[profile].results or profile == verify.LONG
        folder = published / (profile if self.results else "cpu")
        self.claims = read_claims()
        self.run = results.read_results(build / "results")
        self.edition = results.read_results(folder)
        self.verdicts = verify.compare(profile, build=build, published=folder)

    def entry(self, claim: Claim) -> tuple[dict[str, Any] | None, bool]:
        """Return the entry that stands for a claim, and whether it is the run's own."""
        own = self.run.get(claim.chapter, {}).get("claims", {}).get(claim.id)
        if own is not None and self.results and not own["synthetic"]:
            return own, True
        return self.edition.get(claim.chapter, {}).get("claims", {}).get(claim.id), False

    def claim(self, claim: Claim, *, value_only: bool = False) -> Shown:
        """Return what a page shows of a claim."""
        entry, own = self.entry(claim)
        verdict = self.verdicts[claim.id]
        if entry is None:
            return Shown(self._why_empty(claim, verdict), "not-run", claim.sentence)
        interval = None if value_only else entry["interval"]
        text = shown_value(entry["value"], interval)
        if own:
            return Shown(text, SHORT[verdict.status], self._note(claim, verdict))
        return Shown(
            text, self._absent_state(claim), self._published_note(claim, verdict), _("published")
        )

    def measured(self, chapter: str, key: str) -> Shown:
        """Return what a page shows of a measured time or memory."""
        own = self.run.get(chapter, {}).get("measured", {}).get(key) if self.results else None
        entry = own or self.edition.get(chapter, {}).get("measured", {}).get(key)
        if entry is None:
            text = "not measured" if self.results else "not yet published"
            return Shown(text, "not-run", f"{key} of chapter {chapter}")
        text = f"{significant(entry['value'])}\N{NO-BREAK SPACE}{entry['unit']}"
        if own:
            return Shown(text, "measured", "Measured in the run that produced this page.")
        return Shown(text, "measured", "Measured in the published run.", "published")

    def _why_empty(self, claim: Claim, verdict: verify.Verdict) -> str:
        own = self.run.get(claim.chapter, {}).get("claims", {}).get(claim.id)
        if not self.results or (own is not None and own["synthetic"]):
            return _("not yet published")
        return f"not run: {verdict.reason}"

    def _absent_state(self, claim: Claim) -> str:
        """A smoke test or phantoms tell nothing about the claim; else the chapter was not run."""
        return "unknown" if not self.results or claim.chapter in self.run else "not-run"

    def _note(self, claim: Claim, verdict: verify.Verdict) -> str:
        old = self.edition.get(claim.chapter, {}).get("claims", {}).get(claim.id)
        published = shown_value(old["value"], old["interval"]) if old else _("none yet")
        return _("Published: {published}. Verdict: {verdict} ({reason}).").format(
            published=published, verdict=_(verdict.status), reason=_(verdict.reason)
        )

    def _published_note(self, claim: Claim, verdict: verify.Verdict) -> str:
        why = _(verdict.reason) if self.results else _("profile fast gives no results")
        return _("The published value; this page's own run has none ({reason}).").format(reason=why)


def shown_value(value: float, interval: tuple[float, float] | list[float] | None = None) -> str:
    """Return a value with its interval as a page shows them, in the page's language."""
    text = format_value(value, interval)
    match = INTERVAL.fullmatch(text)
    return _("{value} (95 % CI {low} to {high})").format(**match.groupdict()) if match else text


def significant(value: float) -> str:
    """Return a measured number with three significant digits: 12.3, 0.0421, 1,230."""
    if abs(value) >= 1000:
        return f"{float(f'{value:.3g}'):,.0f}"
    text = f"{value:.3g}"
    return f"{value:.7f}".rstrip("0") if "e" in text else text


class claim_value(nodes.General, nodes.Inline, nodes.TextElement):
    """A shown value: ``state``, ``note`` and ``mark`` as in `Shown`, the text as its child."""


class ClaimRole(SphinxRole):
    """``{claim}`id``` shows value and interval, ``{claim}`id value``` only the value."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return the value, or warn about an id that claims.yml does not hold."""
        words = self.text.split()
        claims = edition_of(self.env).claims
        if not words or len(words) > 2 or words[1:] not in ([], ["value"]):
            return self._refuse(f"write {{claim}}`id` or {{claim}}`id value`, got {self.text!r}")
        if words[0] not in claims:
            return self._refuse(f"claims.yml holds no claim {words[0]!r}")
        kind = "value" if len(words) == 2 else "claim"
        return [node_for(self.env, (kind, words[0]))], []

    def _refuse(self, message: str) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        LOGGER.warning(message, location=self.get_location(), type="medlib", subtype="claim")
        return [nodes.problematic(self.rawtext, self.text)], []


class MeasuredRole(SphinxRole):
    """``{measured}`chapter key``` shows a measured time or memory with its unit."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return the measured value, or warn about another form."""
        words = self.text.split()
        if len(words) != 2:
            message = f"write {{measured}}`chapter key`, got {self.text!r}"
            LOGGER.warning(message, location=self.get_location(), type="medlib", subtype="measured")
            return [nodes.problematic(self.rawtext, self.text)], []
        return [node_for(self.env, ("measured", *words))], []


class ClaimsTable(SphinxDirective):
    """``{claims-table}`` lists the claims of a chapter, or with ``all`` of the book.

    Columns: claim, value, 95 % interval, seeds, reference with its source, verdict.
    """

    optional_arguments = 1
    final_argument_whitespace = False
    option_spec = {"caption": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        """Return the table, or a sentence where there are no claims."""
        page = self.env.docname.rsplit("/", 1)[-1]
        edition = edition_of(self.env)
        chapters = {claim.chapter for claim in edition.claims.values()}
        wanted = self.arguments[0] if self.arguments else (page if page in chapters else "all")
        if wanted != "all" and wanted not in chapters:
            message = f"no claim of claims.yml belongs to chapter {wanted!r}"
            LOGGER.warning(message, location=self.get_location(), type="medlib", subtype="claim")
        claims = [c for c in edition.claims.values() if wanted in ("all", c.chapter)]
        note(self.env, ("table", wanted))
        if not claims:
            return [nodes.paragraph(text="There are no claims yet.")]
        head = ["Claim", "Value", "95 % interval", "Seeds", "Reference", "Verdict"]
        rows = [self._row(edition, claim) for claim in claims]
        return [table(head, rows, self.options.get("caption"), "claims-table")]

    def _row(self, edition: Edition, claim: Claim) -> list[list[nodes.Node]]:
        entry, _ = edition.entry(claim)
        interval = entry["interval"] if entry else None
        ends = " to ".join(map(format_number, interval)) if interval else "\N{EN DASH}"
        seeds = str(len(entry["seeds"]) or "\N{EN DASH}") if entry else str(claim.seeds)
        return [
            [*self._sentence(claim)],
            [node_for(self.env, ("value", claim.id))],
            [nodes.Text(ends)],
            [nodes.Text(seeds)],
            reference(self, claim),
            [nodes.Text(edition.verdicts[claim.id].status)],
        ]

    def _sentence(self, claim: Claim) -> Iterator[nodes.Node]:
        yield nodes.Text(claim.sentence)


class ResultsTable(SphinxDirective):
    """``{results-table}`` is the book at a glance: the headline scores of a metric, by data set.

    Options: ``metric`` (``auc`` where omitted), ``data`` (one set), ``caption``.
    """

    option_spec = {
        "metric": directives.unchanged,
        "data": directives.unchanged,
        "caption": directives.unchanged,
    }

    def run(self) -> list[nodes.Node]:
        """Return the table, or a sentence where there is no such claim."""
        edition = edition_of(self.env)
        metric = self.options.get("metric", "auc")
        claims = headlines(edition.claims.values(), metric, self.options.get("data"))
        note(self.env, ("table", "all"))
        if not claims:
            return [nodes.paragraph(text=f"There are no headline claims of the {metric} yet.")]
        score = _("{metric} (95 % interval)").format(metric=metric.upper())
        head = [_("Data set"), _("Claim"), score, _("Published elsewhere")]
        rows = [self._row(claim) for claim in claims]
        return [table(head, rows, self.options.get("caption"), "results-table")]

    def _row(self, claim: Claim) -> list[list[nodes.Node]]:
        return [
            [nodes.Text(claim.data or "")],
            [*link_to_chapter(self.env, claim)],
            [node_for(self.env, ("claim", claim.id))],
            reference(self, claim),
        ]


def reference(directive: SphinxDirective, claim: Claim) -> list[nodes.Node]:
    """Return a claim's reference value with its citation, or a dash."""
    if claim.reference is None:
        return [nodes.Text("\N{EN DASH}")]
    value, kept = format_number(claim.reference.value), claim.reference.note
    text = f"{value} {{cite:p}}`{claim.reference.source}`" + (f", {kept}" if kept else "")
    parsed, messages = directive.state.inline_text(text, directive.lineno)
    return [*parsed, *messages]


def link_to_chapter(env: BuildEnvironment, claim: Claim) -> Iterator[nodes.Node]:
    """Yield a claim's sentence, linked to its chapter's page where the book has it."""
    from sphinx.addnodes import pending_xref

    found = [name for name in sorted(env.found_docs) if name.rsplit("/", 1)[-1] == claim.chapter]
    sentence = _(claim.sentence)
    if not found and languages.named(env.config.language):
        page = f"{languages.SCHEME}://notebooks/{claim.chapter}.html"
        yield nodes.reference("", sentence, refuri=page, internal=False)
        return
    if not found:
        yield nodes.Text(sentence)
        return
    content = nodes.inline("", sentence)
    yield pending_xref(
        "",
        content,
        refdomain="std",
        reftype="doc",
        reftarget=f"/{found[0]}",
        refdoc=env.docname,
        refexplicit=True,
        refwarn=True,
    )


def table(
    head: list[str], rows: list[list[list[nodes.Node]]], caption: str | None, name: str
) -> nodes.table:
    """Build a table from cells of inline nodes; the first column of a row is its header."""
    group = nodes.tgroup("", cols=len(head))
    group += [nodes.colspec(colwidth=1, stub=int(i == 0)) for i in range(len(head))]
    header = nodes.row("", *(_cell([nodes.Text(text)]) for text in head))
    group += nodes.thead("", header)
    group += nodes.tbody("", *(nodes.row("", *map(_cell, row)) for row in rows))
    found = nodes.table("", classes=[name])
    if caption:
        found += nodes.title("", caption)
    found += group
    return found


def node_for(env: BuildEnvironment, request: tuple[str, ...]) -> claim_value:
    """Return the node that shows a value, and remember that this page shows it."""
    note(env, request)
    shown = look_up(edition_of(env), request)
    assert isinstance(shown, Shown)
    return claim_value(
        "", shown.text, state=shown.state, note=shown.note, mark=shown.mark, key=request[1]
    )


def look_up(edition: Edition, request: tuple[str, ...]) -> Any:
    """Return what a request gets: a `Shown`, or for a table everything that its rows show."""
    kind, *words = request
    if kind == "measured":
        return edition.measured(*words)
    if kind == "table":
        chosen = [c for c in edition.claims.values() if words[0] in ("all", c.chapter)]
        return [(claim, edition.claim(claim), edition.entry(claim)[0]) for claim in chosen]
    if words[0] not in edition.claims:
        return None
    return edition.claim(edition.claims[words[0]], value_only=kind == "value")


def edition_of(env: BuildEnvironment) -> Edition:
    """Return the results of this build, read once."""
    app = env.app
    if not hasattr(app, "medlib_edition"):
        build = Path(app.config.medlib_build_dir)
        published = Path(app.config.medlib_published_dir)
        app.medlib_edition = Edition(app.config.medlib_profile, build, published)
    return app.medlib_edition


def note(env: BuildEnvironment, request: tuple[str, ...]) -> None:
    """Keep what the current page shows, for `outdated`."""
    shown = repr(look_up(edition_of(env), request))
    _kept(env).setdefault(env.docname, {})[request] = shown


def outdated(app: Sphinx, env: BuildEnvironment, *_: set[str]) -> list[str]:
    """Return the pages that show a value which has changed since they were built."""
    edition = edition_of(env)
    return [
        name
        for name, kept in _kept(env).items()
        if any(repr(look_up(edition, request)) != shown for request, shown in kept.items())
    ]


def forget(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    """Drop what a page showed, before it is read again or because it is gone."""
    _kept(env).pop(docname, None)


def merge(app: Sphinx, env: BuildEnvironment, docnames: list[str], other: BuildEnvironment) -> None:
    """Take over what a parallel process has read."""
    _kept(env).update({name: kept for name, kept in _kept(other).items() if name in docnames})


def visit_html(self: Any, node: claim_value) -> None:
    """Open the element: the value is text, the rest tooltip, badge and hidden sentence."""
    attributes = {"CLASS": f"claim claim-{node['state']}"}
    if node["note"]:
        attributes["title"] = node["note"]
    self.body.append(self.starttag(node, "span", "", **attributes))


def depart_html(self: Any, node: claim_value) -> None:
    """Close the element after the mark, the badge and the sentence for screen readers."""
    if node["mark"]:
        self.body.append(f' <span class="claim-mark">({self.encode(node["mark"])})</span>')
    badge = BADGES.get(node["state"], "")
    if badge:
        self.body.append(f'<span class="claim-badge" aria-hidden="true">{badge}</span>')
    if node["note"]:
        note_text = self.encode(node["note"])
        self.body.append(f'<span class="claim-note visually-hidden"> ({note_text})</span>')
    self.body.append("</span>")


def visit_plain(self: Any, node: claim_value) -> None:
    """Show the value alone where there is no HTML."""


def depart_plain(self: Any, node: claim_value) -> None:
    """Close nothing."""


def setup(app: Sphinx) -> dict[str, Any]:
    """Register roles, directives, settings and the check for changed values."""
    plain = (visit_plain, depart_plain)
    app.add_node(claim_value, html=(visit_html, depart_html), latex=plain, text=plain)
    app.add_config_value("medlib_profile", "cpu", "env")
    app.add_config_value("medlib_build_dir", "", "env")
    app.add_config_value("medlib_published_dir", "", "env")
    app.add_role("claim", ClaimRole())
    app.add_role("measured", MeasuredRole())
    app.add_directive("claims-table", ClaimsTable)
    app.add_directive("results-table", ResultsTable)
    app.connect("env-get-outdated", outdated)
    app.connect("env-purge-doc", forget)
    app.connect("env-merge-info", merge)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def _kept(env: BuildEnvironment) -> dict[str, dict[tuple[str, ...], str]]:
    if not hasattr(env, "medlib_shown"):
        env.medlib_shown = {}
    return env.medlib_shown


def _cell(content: list[nodes.Node]) -> nodes.entry:
    return nodes.entry("", nodes.paragraph("", "", *content))
