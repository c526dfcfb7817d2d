"""The generated pages: the reproducibility report (Appendix E) and the execution status.

Both are made from stamps, results and the verdicts of `medlib.verify`. They are the same bytes for
the same run, and valid pages without any run.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from book.workflow import chapters, numerics, stress
from medlib import paths, results, tolerance, verify
from medlib.claims import Claim, format_number, read_claims
from medlib.profiles import PROFILES

DASH = "\N{EN DASH}"
HARDWARE = ("cpu", "gpu", "cores", "threads", "instructions", "platform")
Documents = Mapping[str, Mapping[str, Any]]


def write_pages(profile: str, folder: Path) -> list[Path]:
    """Write ``reproducibility.md`` and ``status.md``.

    Parameters
    ----------
    profile : str
        The profile whose run is reported.
    folder : Path
        Where the pages go.

    Returns
    -------
    list of Path
        The two files.
    """
    report = verify.verify(profile, published=_edition_dir(profile))
    build = paths.build_dir(profile)
    stamps = {p.stem: results.read_json(p) or {} for p in sorted(build.glob("stamps/*.json"))}
    pages = {
        "reproducibility.md": reproducibility(report),
        "status.md": status(report, stamps),
    }
    for name, lines in pages.items():
        results.write_text(folder / name, "\n".join(lines).rstrip("\n") + "\n")
    return [folder / name for name in pages]


def verdicts(profile: str) -> tuple[verify.Verdict, ...]:
    """Return the verdict on each claim, as the report lists them; none where a profile has none.

    Parameters
    ----------
    profile : str
        The profile whose run is compared. A smoke test is compared with nothing.
    """
    if profile in PROFILES and not PROFILES[profile].results:
        return ()
    return tuple(verify.compare(profile, published=_edition_dir(profile)).values())


def reproducibility(report: verify.Report) -> Iterator[str]:
    """Yield the lines of the reproducibility report."""
    claims = read_claims()
    edition = results.read_results(_edition_dir(report.profile))
    run = results.read_results(paths.build_dir(report.profile) / "results")
    yield from ("# Reproducibility report", "", *_summary(report), "")
    yield from ("## Verdicts", "", *_verdicts(report, claims), "")
    yield from ("## Re-scoring", "", *_rescoring(report), "")
    yield from ("## Looks at the test splits", "", *_accesses({**edition, **run}), "")
    yield from ("## Tolerances", "", *_tolerances(report.profile, edition), "")
    yield from ("## What other arithmetic moves", "", *_arithmetic(stress.PUBLISHED), "")
    yield from ("## What this report can and cannot tell", "", *LIMITS, "")
    yield from ("## Repeat it", "", *COMMANDS)


def status(report: verify.Report, stamps: Documents) -> Iterator[str]:
    """Yield the lines of the execution status page."""
    yield from ("# Execution status", "")
    if not stamps:
        yield f"No chapter was executed in profile `{report.profile}` yet: `make book` does it."
        return
    seconds = sum(stamp.get("seconds", 0) for stamp in stamps.values())
    yield (
        f"{len(stamps)} chapters were executed in profile `{report.profile}`, in {seconds:.0f} s "
        "of chapter time. The source hash names the text of the chapter that ran, the library "
        "hash the modules of medlib that it uses."
    )
    yield ""
    head = ("Chapter", "Ended", "Claims", "Source", "Library", "Seconds", "Peak memory", "Machine")
    machines = _machines(stamps)
    rows = [_status_row(report, stem, stamp, machines) for stem, stamp in stamps.items()]
    yield from pipe_table(head, rows)
    yield from ("", "## Machines and versions", "")
    for number, (hardware, versions) in enumerate(machines, start=1):
        yield f"{number}. {hardware}; {versions}"


def pipe_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a Markdown table."""
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(_plain(cell) for cell in row)} |"


LIMITS = (
    "It can tell whether the published values follow from the committed per-image scores: each "
    "is computed again from them, with its interval. It can tell whether your run of the same "
    "chapters gives the same values, up to what seeds and floating point numbers may move.",
    "",
    "It cannot tell whether the labels in the score files are the true ones (a run reads them "
    "anew from the data set, whose digest is checked), whether the models deserve their names "
    "(read the chapter, and run it), or whether a result holds in another hospital. A value from "
    "validation images, or a count, has no score file: only a run can confirm it. "
    "Times and memory are measured, not claimed, and never compared.",
    "",
    "*Reproduced* means: not distinguishable from the published value, given how much such values "
    "vary. It does not mean: equal. The table states the shift that would be found in 8 of 10 "
    "re-executions; smaller ones can stay hidden.",
)
COMMANDS = (
    "```bash",
    "make book      # run every chapter, compare, build these pages",
    "make verify    # compare the last run again, and re-score the edition; trains nothing",
    "```",
    "",
    "`.venv/bin/medlib verify --json` prints the same report for programs.",
)


def _edition_dir(profile: str) -> Path:
    """Return the edition that a profile is shown beside; ``fast`` has none of its own."""
    results_profile = profile == verify.LONG or PROFILES[profile].results
    return results.published_dir(profile if results_profile else "cpu")


def _summary(report: verify.Report) -> Iterator[str]:
    counts = report.counts()
    if report.profile in PROFILES and not PROFILES[report.profile].results:
        yield f"Profile `{report.profile}` is a smoke test: its numbers are compared with nothing."
    elif not report.ran:
        yield "There is no run to compare with the published edition yet: `make book` makes one."
    else:
        listed = ", ".join(f"{number} {verdict}" for verdict, number in counts.items())
        yield (
            f"This run of profile `{report.profile}` was compared with the published edition: "
            f"of {len(report.verdicts)} claims, {listed}."
        )


def _verdicts(report: verify.Report, claims: Mapping[str, Claim]) -> Iterator[str]:
    if not report.verdicts:
        yield "The book makes no claims yet."
        return
    yield (
        "*Tolerance* is the largest difference that still counts as reproduced; *found* is the "
        "shift that a re-execution would notice in 8 of 10 cases. Both are explained in "
        "[](tolerances.md)."
    )
    yield ""
    head = ("Claim", "This run", "Published", "Tolerance", "Found", "Verdict", "Why")
    yield from pipe_table(head, (_verdict_row(item, claims) for item in report.verdicts))


def _verdict_row(item: verify.Verdict, claims: Mapping[str, Claim]) -> Sequence[str]:
    numbers = (item.value, item.published, item.half_width, item.detects)
    sentence = f"{claims[item.claim_id].sentence} (`{item.claim_id}`)"
    return (sentence, *map(_number, numbers), item.status, item.reason)


def _rescoring(report: verify.Report) -> Iterator[str]:
    if not report.rescored and not report.problems:
        yield "There are no published score files yet."
        return
    found = f"{len(report.problems)} problems:" if report.problems else "all agree."
    yield (
        f"{report.rescored} committed score files were read, and every published value that rests "
        f"on them was computed again: {found}"
    )
    yield ""
    yield from (f"- {_plain(line)}" for line in report.problems)


def _accesses(documents: Documents) -> Iterator[str]:
    entries = [(stem, item) for stem, doc in documents.items() for item in doc["accesses"]]
    if not entries:
        yield "No test split was looked at yet."
        return
    audits = [(stem, item) for stem, item in entries if item["door"] == "audit"]
    yield (
        "Test labels are read through one function, once for each model, seed, data set and "
        f"input. It was called {len(entries) - len(audits)} times; where the input is called "
        "folds, every patient was predicted from the others. The chapters whose subject is the "
        "misuse of a test split have a second door, which asks for a reason: "
        f"{len(audits)} calls. Nothing was chosen from either."
    )
    yield ""
    yield from pipe_table(("Chapter", "Model", "Data set", "Input", "Seeds"), _grouped(entries))
    if audits:
        yield from ("", "### Audits", "")
        head = ("Chapter", "Model", "Data set", "Input", "Seed", "Reason")
        rows = (
            (stem, *_access_key(item), str(item["seed"]), item["reason"]) for stem, item in audits
        )
        yield from pipe_table(head, rows)


def _grouped(entries: Sequence[tuple[str, Mapping[str, Any]]]) -> Iterator[Sequence[str]]:
    """Yield one row a model and input, with the seeds that were scored."""
    seeds: dict[tuple[str, ...], list[int]] = {}
    for stem, item in entries:
        if item["door"] != "audit":
            seeds.setdefault((stem, *_access_key(item)), []).append(item["seed"])
    for key, found in seeds.items():
        yield (*key, ", ".join(map(str, sorted(found))))


def _access_key(item: Mapping[str, Any]) -> tuple[str, str, str]:
    return item["model_id"], item["data"], item["variant"] or "plain"


def _tolerances(profile: str, edition: Documents) -> Iterator[str]:
    claims = {key: item for doc in edition.values() for key, item in doc["claims"].items()}
    pools: dict[str, list[Mapping[str, Any]]] = {}
    for item in claims.values():
        if "tolerance" in item:
            pools.setdefault(tolerance.pool_of(item), []).append(item["tolerance"])
    if not pools:
        yield "Nothing is published yet, so there is nothing to derive a tolerance from."
        return
    tests = sum(map(len, pools.values()))
    yield (
        f"{tests} claims can move. Each is tested at a level of 5 % / {tests}, so that a "
        "re-execution in which nothing is wrong raises any alarm in at most 5 % of cases. The "
        "standard deviations below are those of one training (other seeds) and of one whole value "
        "(same seeds, other arithmetic)."
    )
    yield ""
    head = ("Pool", "Claims", "SD, other seeds", "SD, same seeds", "Degrees of freedom")
    yield from pipe_table(head, (_pool_row(key, pools[key]) for key in sorted(pools)))
    yield ""
    yield from _environments(tolerance.spread_file(profile))


def _pool_row(name: str, entries: Sequence[Mapping[str, Any]]) -> Sequence[str]:
    new = [entry["new_seeds"] for entry in entries]
    same = [entry["same_seeds"] for entry in entries]
    freedom = f"{_range(new, 'df', '.0f')} and {_range(same, 'df', '.0f')}"
    return (name, str(len(entries)), _range(new, "sd", ".3f"), _range(same, "sd", ".4f"), freedom)


def _range(entries: Sequence[Mapping[str, Any]], key: str, form: str) -> str:
    """Return the lowest and highest of a number over the claims of a pool."""
    known = sorted(entry[key] for entry in entries if key in entry)
    if not known:
        return "unknown"
    low, high = format(known[0], form), format(known[-1], form)
    return low if low == high else f"{low} to {high}"


def _environments(path: Path) -> Iterator[str]:
    document = results.read_json(path)
    if document is None:
        yield "The numeric spread was not measured yet (`make spread`)."
        return
    names = sorted({name for doc in document["chapters"].values() for name in doc["environments"]})
    listed = ", ".join(f"`{name}`" for name in names)
    yield f"The numeric spread was measured with the same seeds in these environments: {listed}."


def _arithmetic(folder: Path) -> Iterator[str]:
    """Yield what two threads and bfloat16 moved, and each claim that they moved too far."""
    document = results.read_json(folder / numerics.FILE)
    if document is None:
        yield "It was not measured yet (`python -m book.workflow.numerics`)."
        return
    rows = document["rows"]
    yield (
        "Some chapters were executed again with the same seeds in other arithmetic: with two "
        f"threads (`{numerics.THREADS}`), and with trainings in mixed precision, as on a GPU "
        f"(`{numerics.HALF}`). A claim may move as far as other instruction sets move such claims; "
        "where that was not measured, as far as other seeds do. Nobody knows how far where "
        "neither has a tolerance. The tolerances themselves take nothing from this table."
    )
    yield ""
    head = ("Arithmetic", "Chapter", "Claims", "Moved", "Further than they may", "Nobody knows")
    yield from pipe_table(head, numerics.summary(rows))
    yield ""
    yield from _moved_too_far([row for row in rows if row["value"] is not None])
    lost = sorted({f"`{row['claim']}`: {row['reason']}" for row in rows if row["value"] is None})
    if lost:
        yield from ("", f"Without a value in one of the runs: {'; '.join(lost)}.")
    yield from ("", f"Measured on {document['machine']}, {document['date']}.")


def _moved_too_far(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    outside = [row for row in rows if numerics.is_outside(row)]
    if not outside:
        yield "No claim that has a tolerance moved further than it."
        return
    head = ("Arithmetic", "Claim", "Moved to", "Published", "May move by")
    numbers = ("value", "published", "tolerance")
    yield from pipe_table(
        head,
        (
            (row["environment"], f"`{row['claim']}`", *(_number(row[key]) for key in numbers))
            for row in outside
        ),
    )


def _status_row(
    report: verify.Report,
    stem: str,
    stamp: Mapping[str, Any],
    machines: Sequence[tuple[str, str]],
) -> Sequence[str]:
    found = [item.status for item in report.verdicts if item.chapter == stem]
    counted = (f"{found.count(s)} {s}" for s in dict.fromkeys(found))
    ended = stamp.get("status", "unknown") + (", on phantoms" if stamp.get("synthetic") else "")
    return (
        _chapter_link(stem),
        ended,
        ", ".join(counted) or "none",
        f"`{(stamp.get('source_hash') or DASH)[:12]}`",
        f"`{(stamp.get('medlib_hash') or DASH)[:12]}`",
        f"{stamp.get('seconds', 0):.0f}",
        f"{stamp.get('peak_memory_mb', 0):.0f} MB",
        str(machines.index(_machine(stamp)) + 1),
    )


def _chapter_link(stem: str) -> str:
    exists = (chapters.ROOT / "notebooks" / f"{stem}.md").is_file()
    return f"{{doc}}`/notebooks/{stem}`" if exists else f"`{stem}`"


def _machines(stamps: Documents) -> list[tuple[str, str]]:
    """Return the different machines and versions, in the order in which chapters name them."""
    return list(dict.fromkeys(_machine(stamp) for stamp in stamps.values()))


def _machine(stamp: Mapping[str, Any]) -> tuple[str, str]:
    hardware, versions = stamp.get("hardware", {}), stamp.get("versions", {})
    keys = [key for key in HARDWARE if hardware.get(key) is not None]
    parts = [f"{key} {hardware[key]}" for key in keys]
    return ", ".join(parts) or "unknown", ", ".join(f"{k} {v}" for k, v in versions.items())


def _number(value: float | None) -> str:
    return DASH if value is None else format_number(value)


def _plain(text: str) -> str:
    """Keep a text on one line and inside its cell."""
    return " ".join(str(text).split()).replace("|", "\\|")
