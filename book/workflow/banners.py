"""What a chapter's page says of its run: banners and verdicts at the top, a card at the end."""

from collections.abc import Mapping

FAST = """:::{admonition} Not results
:class: warning banner-fast
This page was produced in profile `fast`: a few training steps on a few images, to test that the
chapter runs. No number on it is a result. Claims show the published edition instead.
:::"""

SYNTHETIC = """:::{admonition} Phantom data
:class: warning banner-phantom
Real images were missing when this page was produced, so generated ones stood in for: {names}.
Nothing that was computed from them is a result. Tables and claims show the published run where
there is one. To run the chapter for real: `make data`, then `make book`.
:::"""

MISSING = """:::{{admonition}} Data missing
:class: warning banner-missing
This chapter needs real data that were not there, so it was not executed.

{error}
:::"""

FAILED = """:::{{admonition}} This chapter failed
:class: error banner-failed
A cell of this page raised an error when the page was produced; it is shown where it happened.

`{error}`
:::"""

NOT_RUN = """:::{admonition} Not executed yet
:class: warning banner-not-run
This page shows the source of the chapter. `make book` executes it.
:::"""


def top(stamp: dict, profile: str) -> str:
    """Return the banners below the title; empty for a chapter that ran as it should."""
    if not stamp:
        return NOT_RUN
    found = [FAST] if profile == "fast" else []
    if stamp["status"] == "missing-data":
        found.append(MISSING.format(error=_plain(stamp["error"].partition(": ")[2])))
    elif stamp["status"] == "failed":
        found.append(FAILED.format(error=_plain(stamp["error"])))
    if stamp["synthetic"]:
        names = ", ".join(f"`{name}`" for name in stamp["missing"]) or "a data set"
        found.append(SYNTHETIC.replace("{names}", names))
    return "\n\n".join(found)


BADGES = {  # by verdict: ending of the CSS class that a claim in the text has too, and a sign
    "reproduced": ("reproduced", "\N{CHECK MARK}"),
    "differs": ("differs", "\N{NOT EQUAL TO}"),
    "cannot tell": ("unknown", "?"),
}


def badge(counts: Mapping[str, int]) -> str:
    """Return how a chapter's claims compare with the published edition, counted by verdict.

    Parameters
    ----------
    counts : mapping of str to int
        Number of the chapter's claims by verdict, a key of `BADGES`; nothing is shown without any.
    """
    shown = [
        f"[{sign} {counts[verdict]} {verdict}]{{.verdict .verdict-{style}}}"
        for verdict, (style, sign) in BADGES.items()
        if counts.get(verdict)
    ]
    if not shown:
        return ""
    where = "{doc}`against the published edition </book/reproducibility>`"
    return f":::{{container}} verdict-line\nClaims {where}: {' '.join(shown)}\n:::"


def card(stamp: dict, stem: str) -> str:
    """Return the closing section: hardware, profile, seconds, memory, and where to look further."""
    if not stamp:
        return "---\n\n**This page** was not executed yet: `make book` does it."
    machine = stamp["hardware"]
    where = machine["gpu"] or machine["cpu"]
    busy = stamp.get("processor_seconds")
    of_which = f" ({busy:.0f} s of processor time)" if busy is not None else ""
    threads = f"{machine['threads']} thread{'s' if machine['threads'] != 1 else ''}"
    return (
        ":::{admonition} How this page was made\n:class: note run-card\n"
        f"Executed in profile `{stamp['profile']}`, first seed {stamp['seed']}, on {where} "
        f"({threads}), in {stamp['seconds']:.0f} s{of_which} with at most "
        f"{stamp['peak_memory_mb']} MB of "
        f"memory; torch {stamp['versions']['torch']}, Python {stamp['versions']['python']}. "
        f"Verdicts on its claims: {{doc}}`/book/reproducibility`; all runs: "
        f"{{doc}}`/book/status`. To repeat it: `make quick CHAPTER={stem}`.\n:::"
    )


def _plain(text: str) -> str:
    """Keep an error message on one line and out of the page's markup."""
    return " ".join(text.replace("`", "'").split())[:1500]
