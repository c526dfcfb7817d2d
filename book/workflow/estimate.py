"""What the jobs that wait for a GPU would take, on paper: steps, images, work, hours.

``python -m book.workflow.estimate`` counts the multiply-adds of each network and the images that
its recipe shows it, and divides by rates that finished long runs have left in their records: of the
small ResNet in 32-bit numbers, and of ResNet-18 in mixed precision, both on one core. A GPU was not
measured. The page therefore gives the work, and the hours at a rate that it asks the reader to
replace by that of their own card.
"""

import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from medlib import results
from medlib.data import card

DOCUMENT = "book/cluster"
MARKERS = {"jobs": "<!-- estimate: jobs -->", "rates": "<!-- estimate: rates -->"}
FILE = Path(__file__).resolve().parents[2] / "results" / "stress" / "gpu-estimate.json"
# records whose rate stands for a network's: multiply-adds trained a processor second
MEASURED = {"resnet_small": "resnet-small__*", "resnet18": "resnet18__*"}
SMALL, LARGE = "resnet_small", "resnet18"
BACKWARD = 2  # a backward pass takes twice the multiply-adds of a forward pass
SUSTAINED = 10e12  # operations a second of the GPU on paper, an assumption


@dataclass(frozen=True)
class Rate:
    """How fast one core has trained a network.

    Attributes
    ----------
    network : str
        Which.
    records : int
        Number of finished long runs behind it.
    images, multiply_adds : float
        Of the training, a processor second; the median of the records.
    mixed : bool
        Whether in mixed precision.
    """

    network: str
    records: int
    images: float
    multiply_adds: float
    mixed: bool


@dataclass(frozen=True)
class Line:
    """What the jobs of one network at one size need together.

    Attributes
    ----------
    network : str
    size : int
        Side of an image in pixels.
    jobs, steps : int
        Number of trainings, and of their steps.
    images : float
        Images that pass forward and backward; validation, forward only, counts a third.
    multiply_adds : float
        Of one image, forward.
    rate : str
        The network whose `Rate` stands for this one's.
    """

    network: str
    size: int
    jobs: int
    steps: int
    images: float
    multiply_adds: float
    rate: str

    @property
    def operations(self) -> float:
        """Floating point operations: two a multiply-add, forward and backward."""
        return 2 * (1 + BACKWARD) * self.images * self.multiply_adds

    def core_hours(self, rates: dict[str, Rate]) -> float:
        """Return hours of one core at the measured rate."""
        return self.images * self.multiply_adds / rates[self.rate].multiply_adds / 3600

    @property
    def gpu_hours(self) -> float:
        """Hours of a GPU that sustains `SUSTAINED`."""
        return self.operations / SUSTAINED / 3600


def lines() -> list[Line]:
    """Return what the jobs of `long_table.JOBS` that wait for a GPU need, by network and size."""
    from book.workflow.long_table import JOBS

    groups: dict[tuple[str, int], list[Any]] = {}
    for job in JOBS:
        if job.device == "cuda":
            size = job.image_size or card(job.data).size
            groups.setdefault((job.network, size), []).append(job)
    return [_line(network, size, jobs) for (network, size), jobs in sorted(groups.items())]


def rates() -> dict[str, Rate]:
    """Return the measured rates by network, from records of one session."""
    return {network: _rate(network, pattern) for network, pattern in MEASURED.items()}


def write(path: Path = FILE) -> None:
    """Write the estimate that the page shows."""
    document = {
        "schema": 1,
        "rates": [asdict(rate) for rate in rates().values()],
        "lines": [asdict(line) for line in lines()],
        "chapters": _chapters(),
    }
    results.write_text(path, json.dumps(document, indent=1) + "\n")


def filled(documents: dict[str, str], path: Path = FILE) -> dict[str, str]:
    """Return the page "Running on a cluster" with its tables, where the book has it."""
    text = documents.get(DOCUMENT)
    if text is None:
        return {}
    document = json.loads(path.read_text("utf-8"))
    known = {each["network"]: Rate(**each) for each in document["rates"]}
    found = [Line(**each) for each in document["lines"]]
    tables = {"jobs": _jobs_table(found, known, document["chapters"]), "rates": _rates_table(known)}
    for name, table in tables.items():
        text = text.replace(MARKERS[name], "\n".join(table))
    return {DOCUMENT: text}


def _line(network: str, size: int, jobs: Sequence[Any]) -> Line:
    steps, images = 0, 0.0
    for job in jobs:
        counts = card(job.data).counts
        taken = job.recipe.total_steps(counts["train"])
        epochs = taken / job.recipe.steps_per_epoch(counts["train"])
        steps += taken
        images += taken * job.recipe.images_a_step + epochs * counts["val"] / (1 + BACKWARD)
    each = statistics.fmean(_multiply_adds(network, job.data, size) for job in jobs)
    return Line(network, size, len(jobs), steps, images, each, SMALL if network == SMALL else LARGE)


@cache
def _multiply_adds(network: str, data: str, size: int) -> int:
    from medlib.models import create
    from medlib.summary import multiply_adds

    known = card(data)
    model = create(
        network, in_channels=known.channels, num_classes=known.num_classes, image_size=size
    )
    return multiply_adds(model.eval(), (known.channels, size, size))


def _rate(network: str, pattern: str) -> Rate:
    """Return the median rate of the records that match a pattern."""
    found, mixed = [], False
    for path in sorted((results.published_dir("long") / "jobs").glob(f"{pattern}.json")):
        record = json.loads(path.read_text("utf-8"))
        stamp = record["stamp"]
        if len(stamp.get("sessions", ())) != 1 or record.get("network") != network:
            continue
        known, recipe = card(record["data"]), record["recipe"]
        images = record["history"]["steps"] * recipe["batch_size"]
        images += len(record["history"]["epochs"]) * known.counts["val"] / (1 + BACKWARD)
        each = _multiply_adds(network, record["data"], known.size)
        seconds = stamp["processor_seconds_last_session"]
        found.append((images / seconds, images * each / seconds))
        mixed = recipe["amp"]
    return Rate(network, len(found), *map(statistics.median, zip(*found, strict=True)), mixed)


def _chapters() -> dict[str, float]:
    """Return processor seconds of the published chapters, and of profile gpu by its seeds."""
    from medlib.profiles import PROFILES

    stamps = [each["stamp"] for each in results.read_results(results.published_dir("cpu")).values()]
    seconds = sum(stamp.get("processor_seconds") or stamp["seconds"] for stamp in stamps)
    factor = PROFILES["gpu"].seeds / PROFILES["cpu"].seeds
    return {"chapters": len(stamps), "seconds": seconds, "with_more_seeds": seconds * factor}


def _jobs_table(
    found: Sequence[Line], known: dict[str, Rate], chapters: dict[str, float]
) -> Iterator[str]:
    yield (
        "| network | pixels | jobs | steps | images | multiply-adds an image, millions "
        f"| core hours, on paper | GPU hours at {SUSTAINED / 1e12:.0f} TFLOP/s, on paper |"
    )
    yield "|---|---:|---:|---:|---:|---:|---:|---:|"
    for each in found:
        yield (
            f"| `{each.network}` | {each.size} | {each.jobs} | {each.steps:,} | {each.images:,.0f} "
            f"| {each.multiply_adds / 1e6:,.1f} | {each.core_hours(known):,.1f} "
            f"| {each.gpu_hours:,.2f} |"
        )
    hours = sum(each.core_hours(known) for each in found)
    yield (
        f"| all long jobs | | {sum(each.jobs for each in found)} "
        f"| {sum(each.steps for each in found):,} | {sum(each.images for each in found):,.0f} | "
        f"| {hours:,.0f} | {sum(each.gpu_hours for each in found):,.1f} |"
    )
    more = chapters["with_more_seeds"] / 3600
    yield f"| the {chapters['chapters']} chapters | | | | | | {more:,.1f} | |"


def _rates_table(known: dict[str, Rate]) -> Iterator[str]:
    yield "| network | numbers | runs | images a second | multiply-adds a second, billions |"
    yield "|---|---|---:|---:|---:|"
    for each in known.values():
        numbers = "bfloat16 and 32 bits" if each.mixed else "32 bits"
        yield (
            f"| `{each.network}` | {numbers} | {each.records} | {each.images:,.0f} "
            f"| {each.multiply_adds / 1e9:,.1f} |"
        )


if __name__ == "__main__":
    write()
