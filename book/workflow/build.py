"""`make book`: data, chapters (through Snakemake), verdicts, site; a second call does nothing.

One failing chapter stops nothing else: the site is written, the page shows the error, and the exit
code is 1.
"""

import argparse
import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from book.workflow import changed, chapters, clocks, fingerprint, kept, rescoring, source, tied
from book.workflow.plainly import FULL, plainly
from book.workflow.progress import Progress, clock
from medlib import leftovers, paths, results
from medlib.errors import MedlibError
from medlib.profiles import profile_named
from medlib.yaml_text import parsed

ROOT = Path(__file__).resolve().parents[2]
INPUTS = (
    "book", "notebooks", "data", "results", "_config.yml", "_toc.yml", "Snakefile", "medlib",
    "CHANGELOG.md", "CITATION.cff",
)  # fmt: skip
GATES = ("lint", "lock_check")
SWEPT = ("artefacts", "executed", "fingerprints", "generated", "results", "scores", "stamps")
POLL = 0.1  # seconds
ROOM = 10 * 2**20  # bytes; with less left, a failed chapter most likely wanted more


def build(
    profile: str,
    cores: int,
    only: str | None,
    seed: int,
    device: str,
    executor: Path | None = None,
) -> int:
    """Build the book of a profile and return the exit code.

    Parameters
    ----------
    profile : str
        The workload.
    cores : int
        How many chapters run side by side on this machine.
    only : str or None
        One chapter; all of them where None.
    seed, device
        Parameters of every chapter.
    executor : Path, optional
        Folder of a Snakemake profile, such as ``cluster/slurm``, that takes the place of the cores.
    """
    stems = [only] if only else [chapter.stem for chapter in chapters.chapters()]
    with lock(paths.build_dir(profile).parent):
        clocks.set_back(paths.build_dir(profile) / name for name in ("fingerprints", "stamps"))
        if _complete(profile) == state_key(profile, only, seed, device) and _all_here(
            stems, profile, only
        ):
            print(f"Nothing to do: the book (profile {profile}) is up to date.")
            print(where_to_open(profile, only))
            return 0
        started = time.monotonic()
        sweep_folders(profile)
        with ThreadPoolExecutor(1) as beside:
            gates = beside.submit(run_gates)  # they print what they find, and stop nothing
            get_data(profile)  # before the fingerprints, which name the data that are here
            for stem in stems:
                fingerprint.write(stem, profile, seed, device)
            key = state_key(profile, only, seed, device)  # a change that comes later is not built
            failed = run_chapters(stems, profile, cores, seed, device, executor)
            failed = gates.result() + failed
        show_verdicts(profile)
        failed += build_site(profile, only)
        print(f"\nTook {clock(time.monotonic() - started)}. {where_to_open(profile, only)}")
        for problem in failed:
            print(f"FAILED: {problem}")
        if not failed:
            _finished(profile, key)
        return 1 if failed else 0


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Keep a second build out of the same checkout, with a message instead of a muddle."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            raise MedlibError(
                f"another build runs in this checkout (process {handle.read().strip()}): "
                "wait for it, or stop it with Ctrl-C where it runs"
            ) from None
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield


def state_key(profile: str, only: str | None, seed: int, device: str) -> str:
    """Hash everything that the book is made from; equal keys mean that there is nothing to do."""
    stems = [chapter.stem for chapter in chapters.chapters()]
    prints = [fingerprint.fingerprint(stem, profile, seed, device) for stem in stems]
    return kept.digest(
        f"{profile} {only}",
        json.dumps(prints, sort_keys=True),
        kept.digest_of_files(_input_files(), ROOT),
        kept.code_digest(),
        json.dumps(changed.days(ROOT), sort_keys=True),
        chapters.repository_url(),
    )


def sweep_folders(profile: str) -> None:
    """Remove what a build that was killed left of the files that it was writing."""
    folder = paths.build_dir(profile)
    for name in SWEPT:
        leftovers.sweep(folder / name, deep=True)
    leftovers.sweep(paths.build_dir("kept"), deep=True)


def run_gates() -> list[str]:
    """Run the static checks that guard the build: claims, prose, the lock on the test labels."""
    commands = ([sys.executable, "-m", f"book.workflow.{gate}"] for gate in GATES)
    running = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for command in commands
    ]
    failed = []
    for gate, process in zip(GATES, running, strict=True):
        print(process.communicate()[0], end="", flush=True)
        if process.returncode:
            failed.append(f"gate '{gate}' (its findings stand above)")
    return failed


def get_data(profile: str) -> None:
    """Download the default data sets; where that fails the chapters say so."""
    from medlib.data import commands

    print(f"Profile {profile}: looking for the data sets ...")
    commands.ensure_default()


def run_chapters(
    stems: list[str],
    profile: str,
    cores: int,
    seed: int,
    device: str,
    executor: Path | None = None,
) -> list[str]:
    """Execute the chapters that need it, side by side, and return what went wrong; see `build`."""
    folder = paths.build_dir(profile)
    cores, where = placed(cores, executor)
    needs = predecessors(stems)
    todo = outdated(needs, profile)
    print(f"{len(todo)} of {len(stems)} chapters to execute (logs: {_short(folder / 'logs')}) ...")
    if not todo:
        return _problems(stems, profile)
    progress = Progress(folder / "stamps", todo, cores)
    print(f"about {clock(progress.remaining())}, {cores} at a time")
    if len(todo) == 1 and executor is None:  # nothing to schedule
        code, what = _alone(todo[0], profile, seed, device, progress), "the executor"
    else:
        code, what = _snakemake(needs, profile, where, seed, device, progress), "Snakemake"
    problems = _problems(stems, profile)
    if problems and shutil.disk_usage(folder).free < ROOM:
        problems.append(FULL.format(where=f" ({_short(folder)})"))
    if code and not problems:
        problems.append(f"{what} ended with {code}: see {_short(folder / 'logs')}")
    return problems


def placed(cores: int, executor: Path | None) -> tuple[int, list[str]]:
    """Return how many chapters run at a time, and the options that say so to Snakemake.

    Raises
    ------
    MedlibError
        Where the executor's folder holds no ``config.yaml``.
    """
    if executor is None:
        return cores, ["--cores", str(cores)]
    config = executor.absolute() / "config.yaml"
    if not config.is_file():
        raise MedlibError(f"no profile of Snakemake at {executor}: it needs a file config.yaml")
    jobs = parsed(config.read_text("utf-8")).get("jobs", cores)
    return int(jobs), ["--profile", str(config.parent)]


def predecessors(stems: list[str]) -> dict[str, list[str]]:
    """Return for each chapter those among the same chapters whose artefacts it takes."""
    needs = {stem: _needs(chapters.chapter(stem)) for stem in stems}
    return {s: [each for each in needs[s] if each in needs] for s in stems}


def outdated(needs: dict[str, list[str]], profile: str) -> list[str]:
    """Return the chapters to execute, also those that take artefacts of one to execute."""
    todo = {stem for stem in needs if _outdated(stem, needs[stem], profile)}
    while more := {s for s in needs if s not in todo and todo.intersection(needs[s])}:
        todo |= more
    return [stem for stem in needs if stem in todo]


def show_verdicts(profile: str) -> None:
    """Print how the run compares with the published edition; a difference fails nothing here."""
    if not profile_named(profile).results:
        return
    print()
    print(rescoring.report(profile).to_text())


def build_site(profile: str, only: str | None) -> list[str]:
    """Build the site in a process of its own (Sphinx leaves much behind)."""
    print("\nBuilding the site ...")
    command = [sys.executable, "-m", "book.workflow.site", "--profile", profile]
    code = tied.call([*command, *(["--partial"] if only else [])], cwd=ROOT)
    return ["the site: warnings count as errors, see above"] if code else []


def where_to_open(profile: str, only: str | None) -> str:
    """Say where the pages lie and how to look at them."""
    folder = paths.build_dir(profile) / "html"
    page = folder / (f"notebooks/{only}.html" if only else "index.html")
    return f"Open {page}\nor: make serve PROFILE={profile}, then http://localhost:8000"


def _alone(stem: str, profile: str, seed: int, device: str, progress: Progress) -> int:
    """Execute one chapter as the Snakefile would, without what schedules many."""
    folder = paths.build_dir(profile)
    stamp, log = folder / "stamps" / f"{stem}.json", folder / "logs" / f"{stem}.log"
    stamp.unlink(missing_ok=True)  # an old one would say that all went well
    command = [
        sys.executable, "-m", "book.workflow.execute", stem,
        "--profile", profile, "--seed", str(seed), "--device", device,
    ]  # fmt: skip
    return _followed(command, log, progress, os.environ | {"OMP_NUM_THREADS": "1"}, patience=3)


def _snakemake(
    needs: dict[str, list[str]],
    profile: str,
    where: list[str],
    seed: int,
    device: str,
    progress: Progress,
) -> int:
    """Run Snakemake with its state below ``_build``; Ctrl-C stops it and loses nothing."""
    folder = paths.build_dir(profile)
    command = snakemake(
        where, f"profile={profile}", f"seed={seed}", f"device={device}",
        f"chapters={','.join(needs)}", f"predecessors={json.dumps(needs)}",
    )  # fmt: skip
    environment = os.environ | {"XDG_CACHE_HOME": str(folder.parent / ".cache")}
    patience = 3 if "--cores" in where else 60  # a cluster cancels jobs
    return _followed(command, folder / "logs" / "snakemake.log", progress, environment, patience)


def _followed(
    command: list[str], path: Path, progress: Progress, environment: dict[str, str], patience: float
) -> int:
    """Run a command that executes chapters, with its log, and show how far it has come."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as log:
        process = tied.start(command, cwd=ROOT, env=environment, log=log)
        try:
            while process.poll() is None:
                progress.poll()
                time.sleep(POLL)
        except KeyboardInterrupt:
            tied.stop(process, patience=patience)
            raise
    progress.poll()
    return process.returncode


def snakemake(where: list[str], *config: str) -> list[str]:
    """Return the command that runs the Snakefile with its state below ``_build``.

    Parameters
    ----------
    where : list of str
        Options that say where jobs run; see `placed`.
    *config : str
        Settings of the Snakefile, such as ``"profile=gpu"``.
    """
    return [
        sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"),
        "--directory", str(paths.build_dir("cpu").parent), *where, "--keep-going", "--nolock",
        "--rerun-incomplete", "--rerun-triggers", "mtime", "--nocolor",
        "--config", f"root={ROOT}", *config,
    ]  # fmt: skip


def _outdated(stem: str, needed: list[str], profile: str) -> bool:
    """Tell whether a chapter's stamp is missing, or older than what it depends on."""
    folder = paths.build_dir(profile)
    stamp, known = folder / f"stamps/{stem}.json", folder / f"fingerprints/{stem}.json"
    sources = [known, *(folder / f"stamps/{each}.json" for each in needed)]
    newest = max(path.stat().st_mtime_ns for path in sources if path.exists())
    return not stamp.exists() or stamp.stat().st_mtime_ns < newest


def _problems(stems: list[str], profile: str) -> list[str]:
    """Read the stamps: failures are problems, missing data are counted and said."""
    found, missing = [], []
    for stem in stems:
        path = paths.build_dir(profile) / "stamps" / f"{stem}.json"
        stamp = json.loads(path.read_text("utf-8")) if path.exists() else {"status": "not run"}
        log = paths.build_dir(profile) / "logs" / f"{stem}.log"
        log = _short(log if log.exists() else log.with_name("snakemake.log"))
        if stamp["status"] in {"failed", "not run"}:
            found.append(f"chapter {stem}: {stamp.get('error') or 'did not finish'} (log: {log})")
        elif stamp["status"] == "missing-data" or stamp["synthetic"]:
            missing.append(stem)
    if missing:
        print(
            f"{len(missing)} chapters ran without their real data ({', '.join(missing)}): their "
            "pages say so. `make data` gets the data; the pages name the files."
        )
    return found


def _input_files() -> list[Path]:
    """List the files that the book is made from, in a fixed order."""
    found: list[Path] = []
    for name in INPUTS:
        path = ROOT / name
        found += [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    skipped = {"__pycache__"}
    return [p for p in found if not skipped & set(p.relative_to(ROOT).parts)]


def _needs(chapter: chapters.Chapter) -> list[str]:
    """Return the chapters whose artefacts a chapter takes; its text is parsed once."""
    path = chapter.source
    return kept.of_file(f"needs/{chapter.stem}", path, lambda: source.needs(source.read(path)))


def _all_here(stems: list[str], profile: str, only: str | None) -> bool:
    """Tell whether what the last build made is still there: its stamps and its pages."""
    folder = paths.build_dir(profile)
    stamps = (folder / f"stamps/{stem}.json" for stem in stems)
    pages = (folder / f"html/notebooks/{stem}.html" for stem in stems)
    index = [] if only else [folder / "html/index.html"]
    return all(path.exists() for path in (*stamps, *pages, *index))


def _complete(profile: str) -> str | None:
    path = paths.build_dir(profile) / "complete"
    return path.read_text("utf-8") if path.exists() else None


def _finished(profile: str, key: str) -> None:
    results.write_text(paths.build_dir(profile) / "complete", key)


def _short(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def main() -> int:
    """Build what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", default="cpu")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--only", help="one chapter, such as 03-05-resnet")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--executor", type=Path, help="profile of Snakemake: cluster/slurm")
    parser.add_argument("--site-only", action="store_true")
    args = parser.parse_args()
    profile_named(args.profile)
    if args.site_only:
        return 1 if build_site(args.profile, args.only) else 0
    if args.only:
        chapters.chapter(args.only)
    return build(args.profile, args.cores, args.only, args.seed, args.device, args.executor)


if __name__ == "__main__":
    sys.exit(plainly("make book", main))
