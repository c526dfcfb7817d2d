"""What a chapter's page says of its run: banners and verdicts at the top, a card at the end."""

from collections.abc import Mapping

from book.workflow.words import _, ngettext

FAST = _(""":::{admonition} Not results
:class: warning banner-fast
This page was produced in profile `fast`: a few training steps on a few images, to test that the
chapter runs. No number on it is a result. Claims show the published edition instead.
:::""")

SYNTHETIC = _(""":::{admonition} Phantom data
:class: warning banner-phantom
Real images were missing when this page was produced, so generated ones stood in for: {names}.
Nothing that was computed from them is a result. Tables and claims show the published run where
there is one. To run the chapter for real: `make data`, then `make book`.
:::""")

MISSING = _(""":::{{admonition}} Data missing
:class: warning banner-missing
This chapter needs real data that were not there, so it was not executed.

{error}
:::""")

FAILED = _(""":::{{admonition}} This chapter failed
:class: error banner-failed
A cell of this page raised an error when the page was produced; it is shown where it happened.

`{error}`
:::""")

NOT_RUN = _(""":::{admonition} Not executed yet
:class: warning banner-not-run
This page shows the source of the chapter. `make book` executes it.
:::""")


def top(stamp: dict, profile: str) -> str:
    """Return the banners below the title; empty for a chapter that ran as it should."""
    if not stamp:
        return _(NOT_RUN)
    found = [_(FAST)] if profile == "fast" else []
    if stamp["status"] == "missing-data":
        found.append(_(MISSING).format(error=_plain(stamp["error"].partition(": ")[2])))
    elif stamp["status"] == "failed":
        found.append(_(FAILED).format(error=_plain(stamp["error"])))
    if stamp["synthetic"]:
        names = ", ".join(f"`{name}`" for name in stamp["missing"]) or _("a data set")
        found.append(_(SYNTHETIC).replace("{names}", names))
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
        f"[{sign} {counts[verdict]} {_(verdict)}]{{.verdict .verdict-{style}}}"
        for verdict, (style, sign) in BADGES.items()
        if counts.get(verdict)
    ]
    if not shown:
        return ""
    against = _("against the published edition")
    where = f"{{doc}}`{against} </book/reproducibility>`"
    said = _("Claims {where}: {verdicts}").format(where=where, verdicts=" ".join(shown))
    return f":::{{container}} verdict-line\n{said}\n:::"


def card(stamp: dict, stem: str) -> str:
    """Return the closing section: hardware, profile, seconds, memory, and where to look further."""
    if not stamp:
        return "---\n\n" + _("**This page** was not executed yet: `make book` does it.")
    machine, busy = stamp["hardware"], stamp.get("processor_seconds")
    count = machine["threads"]
    said = _(
        "Executed in profile `{profile}`, first seed {seed}, on {machine} ({threads}), in "
        "{seconds} s{of_which} with at most {memory} MB of memory; torch {torch}, Python {python}. "
        "Verdicts on its claims: {report}; all runs: {status}. To repeat it: `{command}`."
    ).format(
        profile=stamp["profile"],
        seed=stamp["seed"],
        machine=machine["gpu"] or machine["cpu"],
        threads=ngettext("{number} thread", "{number} threads", count).format(number=count),
        seconds=f"{stamp['seconds']:.0f}",
        of_which=""
        if busy is None
        else _(" ({busy} s of processor time)").format(busy=f"{busy:.0f}"),
        memory=stamp["peak_memory_mb"],
        torch=stamp["versions"]["torch"],
        python=stamp["versions"]["python"],
        report="{doc}`/book/reproducibility`",
        status="{doc}`/book/status`",
        command=f"make quick CHAPTER={stem}",
    )
    title = _("How this page was made")
    return f":::{{admonition}} {title}\n:class: note run-card\n{said}\n:::"


def _plain(text: str) -> str:
    """Keep an error message on one line and out of the page's markup."""
    return " ".join(text.replace("`", "'").split())[:1500]
