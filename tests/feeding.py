"""Feed damaged files to the commands that read them, and say what each command did.

A batch runs in a process of its own (``python -m tests.feeding``), so that a crash
is seen, and memory is measured from the same start. It prints one line of JSON an input.
"""

import contextlib
import functools
import hashlib
import io
import itertools
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from tests import damage
from tests.damage import CANARY, KINDS, Damaged

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 20.0  # of processor time for one input: the clock would count the neighbours
HOUR = 3600.0  # of the clock for all inputs: a command that waits for ever must not
MEMORY = 2 << 30  # bytes for one input, beyond what the process held before
CEILING = 6 << 30  # bytes of address space, so that a bomb kills the batch and not the machine
COMMANDS = ("medlib: ", "make book: ", "make site: ")
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]")


class TooLong(BaseException):
    """The time for an input is over; no handler of errors may swallow it."""


@dataclass(frozen=True)
class Answer:
    """What a command said of a file, as a reader in front of a terminal has it."""

    code: int
    out: str
    err: str
    wrong: str = ""  # what is wrong with a content that was accepted


@dataclass(frozen=True)
class Fed:
    """An input, and how its command took it; `fault` is empty where all is well."""

    kind: str
    name: str
    number: int
    answer: str
    fault: str
    seconds: float
    bytes: int


Mouth = Callable[[Path], Answer]


# ---------------------------------------------------------------- in a process of its own


def feed(plan: Mapping[str, Sequence[int]]) -> list[Fed]:
    """Feed inputs in a process of their own; where it dies, the input is at fault that it had.

    Parameters
    ----------
    plan : mapping of str to sequence of int
        For each kind of `tests.damage.KINDS` the numbers of its inputs.
    """
    todo = [(kind, number) for kind, numbers in plan.items() for number in numbers]
    fed: list[Fed] = []
    while len(fed) < len(todo):
        done = subprocess.run(
            [sys.executable, "-m", "tests.feeding", json.dumps(todo[len(fed) :])],
            cwd=ROOT, capture_output=True, text=True, timeout=HOUR,
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        fed += [Fed(**json.loads(x)) for x in done.stdout.splitlines() if x.startswith("{")]
        if done.returncode:
            kind, number = todo[len(fed)]
            why = f"the process died ({done.returncode}): {done.stderr.strip()[-300:]}"
            fed.append(Fed(kind, f"input {number}", number, "", why, 0.0, 0))
    return fed


def main() -> int:
    """Feed the inputs that the command line names, as a list of pairs in JSON."""
    report = os.fdopen(os.dup(1), "w")
    for kind, group in itertools.groupby(json.loads(sys.argv[1]), key=lambda pair: pair[0]):
        with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
            patch.setenv(CANARY, str(Path(folder) / "medlib-canary"))
            KINDS[kind].sound()  # before the patches
            mouth = MOUTHS[kind](Path(folder), patch)
            patch.chdir(folder)
            for _, number in group:
                fed = _fed(damage.damaged(kind, number), number, mouth, Path(folder))
                print(json.dumps(asdict(fed)), file=report, flush=True)
    return 0


def _fed(one: Damaged, number: int, mouth: Mouth, folder: Path) -> Fed:
    """Feed one input within its limits and judge what came out."""
    path = folder / f"given{KINDS[one.kind].ending}"
    path.write_bytes(one.content)
    before = _memory("VmRSS")
    _forget_peak()
    resource.setrlimit(resource.RLIMIT_AS, (_memory("VmSize") + CEILING, resource.RLIM_INFINITY))
    started = time.process_time()
    answer, fault = None, ""
    try:
        with _limited(SECONDS):
            answer = mouth(path)
    except TooLong:
        fault = f"not done after {SECONDS:g} s"
    except BaseException as error:
        fault = f"{type(error).__name__} came out: {' '.join(str(error).split())[:200]}"
    seconds = time.process_time() - started
    grown = max(0, _memory("VmHWM") - before)
    if answer is not None:
        fault = _fault(answer, path)
    if grown > MEMORY:
        fault = fault or f"{grown / 2**30:.1f} GiB of memory"
    canary = Path(os.environ[CANARY])
    if canary.exists() or list(folder.glob("**/medlib-canary")):
        fault = "code of the file was executed"
        canary.unlink(missing_ok=True)
    said = "" if answer is None else f"{answer.code}: {(answer.err or answer.out).strip()[:300]}"
    return Fed(one.kind, one.name, number, said, fault, round(seconds, 3), grown)


def _fault(answer: Answer, path: Path) -> str:
    """Return what is wrong with an answer: silence, several lines, a traceback, no name."""
    said = answer.err + answer.out
    if "Traceback" in said:
        return "a traceback"
    if CONTROL.search(said.replace("\r\n", "\n")):
        return f"orders to the terminal: {CONTROL.search(said)[0]!r}"
    if answer.wrong:
        return answer.wrong
    if answer.code == 0:
        return ""
    lines = answer.err.strip().splitlines()
    if answer.code == 2:
        if len(lines) != 1 or not lines[0].startswith(COMMANDS):
            return f"not one line: {answer.err.strip()[:300]!r}"
    elif answer.code != 1:
        return f"exit code {answer.code}"
    return "" if path.name in said else f"the file is not named: {said.strip()[:200]!r}"


@contextlib.contextmanager
def _limited(seconds: float) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TooLong

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _memory(what: str) -> int:
    """Return a size of this process in bytes, from the kernel."""
    text = Path("/proc/self/status").read_text()
    return int(re.search(rf"^{what}:\s+(\d+) kB", text, re.M)[1]) * 1024


def _forget_peak() -> None:
    """Begin to measure the largest size anew (VmHWM)."""
    Path("/proc/self/clear_refs").write_text("5")


# ---------------------------------------------------------------- running commands


def run(command: Callable[[], int]) -> Answer:
    """Run a command here, and catch what it and the libraries in C below it print."""
    texts = []
    with contextlib.ExitStack() as stack:
        files = []
        for number, name in ((1, "stdout"), (2, "stderr")):
            files.append(stack.enter_context(_caught(number, name)))
        code = command()
        for file, stream in zip(files, (sys.stdout, sys.stderr), strict=True):
            stream.flush()
            file.seek(0)
            texts.append(file.read().decode("utf-8", errors="replace"))
    return Answer(code, *texts)


@contextlib.contextmanager
def _caught(number: int, name: str) -> Iterator[io.BufferedRandom]:
    """Send a stream of this process, and of C below it, into a file."""
    kept, old = os.dup(number), getattr(sys, name)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), number)
        setattr(sys, name, io.TextIOWrapper(io.FileIO(os.dup(number), "w"), "utf-8"))
        try:
            yield file
        finally:
            getattr(sys, name).close()
            setattr(sys, name, old)
            os.dup2(kept, number)
            os.close(kept)


def medlib(*words: object) -> Answer:
    """Run a medlib command here."""
    from medlib import cli

    return run(lambda: cli.main([str(word) for word in words]))


# ---------------------------------------------------------------- what eats what


def _model(folder: Path) -> Path:
    path = folder / "sound.pt"
    path.write_bytes(damage.sound_model())
    return path


def _pictures(folder: Path, patch: pytest.MonkeyPatch) -> Mouth:
    """``medlib predict``: a file that cannot be used is skipped by name."""
    model = _model(folder)

    def eat(path: Path) -> Answer:
        answer = medlib("predict", model, path, "--json")
        return replace(answer, wrong=_wrong_probabilities(answer))

    return eat


def _wrong_probabilities(answer: Answer) -> str:
    """Refuse an accepted picture whose probabilities are none."""
    if answer.code != 0:
        return ""
    for one in json.loads(answer.out)["results"]:
        values = [float(v) for v in one["probabilities"].values()]
        if not abs(sum(values) - 1) < 1e-6:
            return f"accepted with the probabilities {values}"
    return ""


def _dicoms(folder: Path, patch: pytest.MonkeyPatch) -> Mouth:
    """``medlib predict``, then ``medlib train --audit``, which also reads who it is of."""
    predict = _pictures(folder, patch)
    root = folder / "set"
    for name in ("healthy", "ill"):
        (root / name).mkdir(parents=True)
        (root / name / "sound.png").write_bytes(
            damage.picture("PNG", np.roll(damage.grey(), len(name), axis=0))
        )

    def eat(path: Path) -> Answer:
        first = predict(path)
        shutil.copyfile(path, root / "ill" / path.name)
        second = medlib("train", root, "--audit")
        said = first.out + first.err + second.out + second.err
        wrong = first.wrong or ("a patient is named" if _names_patient(said) else "")
        if second.code not in (0, 1):
            return replace(second, wrong=wrong)
        return replace(first, err=first.err + second.err, wrong=wrong)

    return eat


def _names_patient(said: str) -> bool:
    return any(word in said for word in ("SECRETSON", "ADELHEID", "MRN778899"))


def _npz(folder: Path, patch: pytest.MonkeyPatch) -> Mouth:
    """``medlib data check``: once with the right digest, once as if the publisher sent garbage."""
    from medlib.data import card, cards, load

    module = sys.modules["medlib.data.cards"]
    sound = damage.npz(**damage.set_arrays())
    counts = {"train": 6, "val": 2, "test": 4}
    tiny = replace(
        card("breastmnist"), counts=counts, digests={"md5": _md5(sound)}, file="given.npz"
    )
    patch.setenv("MEDLIB_MIRROR", str(folder))
    patch.setenv("MEDLIB_CACHE", str(folder / "cache"))

    def check(known: str) -> Answer:
        one = replace(tiny, digests={"md5": known})
        patch.setattr(module, "_cards_in", lambda folder: {"breastmnist": one})
        answer = medlib("data", "check", "breastmnist")
        if answer.code == 1 and len(answer.out.strip().splitlines()) != 1:
            return replace(answer, wrong=f"not one line: {answer.out[:300]!r}")
        return answer

    def eat(path: Path) -> Answer:
        content = path.read_bytes()
        if content != sound and check(_md5(sound)).code == 0:
            return Answer(0, "", "", "a file with another digest was accepted")
        answer = check(_md5(content))
        if answer.code == 0 and not _same_as_sound(load("breastmnist")):
            return replace(answer, wrong="other images or labels were accepted")
        return answer

    assert cards
    return eat


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _same_as_sound(data: object) -> bool:
    sound = damage.set_arrays()
    return all(
        np.array_equal(getattr(data, split).images[:, 0], sound[f"{split}_images"])
        and np.array_equal(getattr(data, split).labels, sound[f"{split}_labels"][:, 0])
        for split in ("train", "val")
    )


def _models(folder: Path, patch: pytest.MonkeyPatch) -> Mouth:
    """``medlib predict`` and ``medlib evaluate`` with a damaged model."""
    picture = folder / "sound.png"
    picture.write_bytes(damage.picture("PNG"))
    wanted = json.loads(medlib("predict", _model(folder), picture, "--json").out)["results"]

    def eat(path: Path) -> Answer:
        answer = medlib("predict", path, picture, "--json")
        if answer.code != 0:
            return answer
        found = json.loads(answer.out)["results"]
        wrong = _wrong_probabilities(answer)
        if not wrong and found != wanted and path.read_bytes()[:2] == b"PK":
            wrong = _other_weights(path)
        second = medlib("evaluate", path, "--no-baselines", "--resamples", "20")
        return replace(second, out=second.out + answer.err, wrong=wrong)

    return eat


def _other_weights(path: Path) -> str:
    """Tell whether weights were accepted that are not the sound ones."""
    from medlib.saved import load_model

    sound = path.with_name("sound.pt")
    same = load_model(path).digest == load_model(sound).digest
    return "" if same else "other weights were accepted"


def _checkpoints(folder: Path, patch: pytest.MonkeyPatch) -> Mouth:
    """``medlib train --resume`` on a damaged checkpoint."""
    from medlib.saved import load_model

    (folder / "whole").mkdir()
    assert medlib(*damage.TRAIN, "--out", folder / "whole").code == 0
    wanted = load_model(folder / "whole").digest

    def eat(path: Path) -> Answer:
        out = folder / "run"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        shutil.copyfile(path, out / "checkpoint.pt")
        answer = medlib(*damage.TRAIN, "--resume", "--out", out)
        answer = replace(answer, err=answer.err.replace("checkpoint.pt", path.name))
        if answer.code == 0 and load_model(out).digest != wanted:
            return replace(answer, wrong="it went on to other weights")
        return answer

    return eat


def _onnx(folder: Path, patch: pytest.MonkeyPatch) -> Mouth:
    """`medlib.quantise.OnnxModel`, as ``medlib.serving`` opens it."""
    from medlib.errors import MedlibError
    from medlib.quantise import OnnxModel

    images = damage.grey(28)[None, None]
    sound = folder / "sound.onnx"
    sound.write_bytes(damage.sound_onnx())
    wanted = OnnxModel(sound).predict_proba(images)

    def predict(path: Path) -> int:
        try:
            found = OnnxModel(path).predict_proba(images)
        except MedlibError as error:
            print(f"medlib: {error}", file=sys.stderr)
            return 2
        return 0 if found.shape == wanted.shape and np.isfinite(found).all() else 3

    return lambda path: run(lambda: predict(path))


def _tables(folder: Path, patch: pytest.MonkeyPatch) -> Mouth:
    """``medlib train TABLE --audit``."""
    for k in range(12):
        values = np.roll(damage.grey(), 3 * k, axis=k % 2)
        (folder / f"p{k}.png").write_bytes(damage.picture("PNG", values))
    return lambda path: medlib("train", path, "--audit")


def _toy_book(folder: Path, patch: pytest.MonkeyPatch) -> object:
    """Return a published book of one chapter."""
    from medlib import publish
    from medlib.profiles import PROFILES
    from tests.toy_book import ToyBook

    book = ToyBook(folder, patch)
    patch.setitem(PROFILES, "cpu", replace(PROFILES["cpu"], bootstrap=20))
    book.execute()
    publish.publish("cpu")
    return book


def _scores(folder: Path, patch: pytest.MonkeyPatch) -> Mouth:
    """``medlib verify`` with a damaged file of scores in the edition, whose digest fits it."""
    from medlib import verify
    from tests.toy_book import CHAPTER

    book = _toy_book(folder, patch)
    score = sorted((book.published / "scores" / CHAPTER).glob("net__*.csv"))[0]
    document = book.published / f"{CHAPTER}.json"
    known = json.loads(document.read_text())

    def eat(path: Path) -> Answer:
        shutil.copyfile(path, score)
        known["files"][score.name]["sha256"] = verify.file_digest(score)
        known["digest"] = verify.content_digest(known)
        document.write_text(json.dumps(known))
        answer = medlib("verify")
        return replace(answer, out=answer.out.replace(score.name, path.name),
                       err=answer.err.replace(score.name, path.name))  # fmt: skip

    return eat


def _claims(folder: Path, patch: pytest.MonkeyPatch) -> Mouth:
    """``medlib verify`` with a damaged ``claims.yml``."""
    book = _toy_book(folder, patch)

    def eat(path: Path) -> Answer:
        shutil.copyfile(path, book.root / "book" / "claims.yml")
        answer = medlib("verify")
        # claims without a value are a verdict (exit code 1), not an error of the file
        shown = answer.err.replace("claims.yml", path.name)
        return replace(answer, code=0 if answer.code == 1 and not answer.err else answer.code,
                       err=shown)  # fmt: skip

    return eat


def _cards(folder: Path, patch: pytest.MonkeyPatch) -> Mouth:
    """``medlib data list`` with a damaged card."""
    from medlib import paths
    from medlib.data import cards

    assert cards
    module = sys.modules["medlib.data.cards"]
    place = folder / "checkout"
    (place / "data").mkdir(parents=True)
    patch.setattr(paths, "package_file", lambda relative: place / relative)
    patch.setenv("MEDLIB_MIRROR", str(folder / "none"))

    def eat(path: Path) -> Answer:
        shutil.copyfile(path, place / "data" / "breastmnist.yml")
        module.forget()
        first = medlib("data", "list")
        second = medlib("data", "check", "breastmnist") if first.code == 0 else first
        shown = second.err.replace("breastmnist.yml", path.name)
        out = second.out.replace("breastmnist", f"{path.name}: breastmnist")
        return replace(second, err=shown, out=out)

    return eat


def _checkout(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """Return a checkout whose chapters are those that the workflow sees."""
    from book.workflow import chapters

    root = folder / "checkout"
    (root / "notebooks").mkdir(parents=True)
    patch.setattr(chapters, "chapter", functools.partial(chapters.chapter, root=root))
    patch.setenv("MEDLIB_BUILD", str(folder / "build"))
    return root


def _chapters(folder: Path, patch: pytest.MonkeyPatch) -> Mouth:
    """``make book`` up to the point where chapters are executed."""
    from book.workflow import build, fingerprint
    from book.workflow.plainly import plainly

    stem = "03-05-resnet"
    place = _checkout(folder, patch) / "notebooks" / f"{stem}.md"
    patch.setattr(sys, "argv", ["build", "--only", stem])
    patch.setattr(build, "state_key", lambda *_: "done")
    patch.setattr(build, "_complete", lambda *_: "done")
    patch.setattr(build, "_all_here", lambda *_: True)

    def prepare() -> int:
        code = build.main()
        fingerprint.write(stem, "cpu", 0, "auto")
        build.predecessors([stem])
        return code

    def eat(path: Path) -> Answer:
        shutil.copyfile(path, place)
        answer = run(lambda: plainly("make book", prepare))
        return replace(answer, err=answer.err.replace(place.stem, path.name))

    return eat


def _notebooks(folder: Path, patch: pytest.MonkeyPatch) -> Mouth:
    """``make site`` where it takes up an executed notebook."""
    from book.workflow import chapters, stage
    from book.workflow.plainly import plainly

    stem = "03-05-resnet"
    source = _checkout(folder, patch) / "notebooks" / f"{stem}.md"
    source.write_bytes(damage.sound_chapter())
    place = folder / "build" / "cpu" / "executed" / f"{stem}.ipynb"
    place.parent.mkdir(parents=True)
    chapter = chapters.chapter(stem)

    def take_up() -> int:
        stage.notebook_page(stage.executed(chapter, "cpu"), chapter, "cpu")
        return 0

    def eat(path: Path) -> Answer:
        shutil.copyfile(path, place)
        answer = run(lambda: plainly("make site", take_up))
        return replace(answer, err=answer.err.replace(place.name, path.name))

    return eat


MOUTHS: dict[str, Callable[[Path, pytest.MonkeyPatch], Mouth]] = {
    "npz": _npz,
    "png": _pictures,
    "jpeg": _pictures,
    "tiff": _pictures,
    "bmp": _pictures,
    "dicom": _dicoms,
    "nifti": _pictures,
    "nifti.gz": _pictures,
    "volume": _pictures,
    "model": _models,
    "checkpoint": _checkpoints,
    "onnx": _onnx,
    "table": _tables,
    "scores": _scores,
    "card": _cards,
    "claims": _claims,
    "chapter": _chapters,
    "notebook": _notebooks,
}

if __name__ == "__main__":
    sys.exit(main())
