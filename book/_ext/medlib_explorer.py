"""Sphinx directive ``{explorer}``: move a threshold over committed test scores, without a kernel.

The page gets the scores as JSON and a table of operating points, both computed here at build time.
With JavaScript ``_static/medlib-explorer.js`` puts controls and curves above the table; without it
the table stands alone. Nothing is trained: the scores are the files in ``results/long``. The
definitions are those of `medlib.thresholds` and `medlib.metrics`; a browser test holds the script
to them.
"""

import html
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import numpy as np
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from book._ext import explorer_pictures
from medlib import paths
from medlib.errors import MedlibError
from medlib.evaluate import Scores, read_scores

LOGGER = logging.getLogger(__name__)
SHARED = "medlib-parts.js"
SCRIPT = "medlib-explorer.js"
MARK = "medlib-explorer"
THRESHOLDS = (0.25, 0.5, 0.75)  # of the table
HEAD = ("Model", "Threshold", "Found", "Missed", "False alarms", "Right all-clears")
SHARES = ("Sensitivity", "Specificity")


@dataclass(frozen=True)
class Model:
    """One file of scores, which every set has.

    Attributes
    ----------
    name : str
        What the reader chooses.
    chapter, model_id : str
        Folder and first part of the file's name.
    seed : int
        Seed of the training.
    """

    name: str
    chapter: str
    model_id: str
    seed: int = 0


@dataclass(frozen=True)
class Task:
    """One data set with the class that is to be found.

    Attributes
    ----------
    data, title : str
        Name in files, and for readers.
    positive : int
        Number of the class that is to be found.
    found, other : str
        What its cases and the others are called.
    """

    data: str
    title: str
    positive: int
    found: str
    other: str


MODELS = (
    *(Model(f"Small ResNet, seed {s}", "04-08-benchmark", "resnet-small", s)
      for s in range(3)),
    Model("Nearest neighbours", "03-10-side-by-side", "nearest-neighbours"),
    Model("Histogram of brightness", "03-10-side-by-side", "histogram"),
)  # fmt: skip
TASKS = (
    Task("breastmnist", "BreastMNIST", 0, "malignant", "normal or benign"),
    Task("pneumoniamnist", "PneumoniaMNIST", 1, "pneumonia", "normal"),
)


class Explorer(SphinxDirective):
    """``{explorer}`` shows the explorer of all `TASKS` and `MODELS`; it takes no options."""

    def run(self) -> list[nodes.Node]:
        """Return the explorer, or a sentence where the scores are not there."""
        published = Path(self.config.medlib_published_dir)
        self.env.note_dependency(__file__)
        for file in files(published):
            self.env.note_dependency(str(file))
        try:
            text = render(read(published), pictures())
        except MedlibError as error:
            LOGGER.warning(str(error), location=self.get_location(), type="medlib")
            return [nodes.paragraph(text="The committed scores are not there.")]
        return [nodes.raw("", text, format="html")]


def score_path(published: Path, task: Task, model: Model) -> Path:
    """Return the committed file of a model's scores on a set."""
    name = paths.score_file(model.model_id, task.data, model.seed)
    return published / "long" / "scores" / model.chapter / name


def files(published: Path) -> list[Path]:
    """Return all score files that the explorer shows."""
    return [score_path(published, task, model) for task in TASKS for model in MODELS]


def read(published: Path) -> dict[Task, list[Scores]]:
    """Read the scores of every set, in the order of `MODELS`.

    Parameters
    ----------
    published : Path
        The folder ``results``.

    Raises
    ------
    MedlibError
        Where a file is missing, or the models of a set were not scored on the same cases.
    """
    found = {t: [read_scores(score_path(published, t, model)) for model in MODELS] for t in TASKS}
    for task, (first, *others) in found.items():
        for each in others:
            if not (_same(first.index, each.index) and _same(first.labels, each.labels)):
                raise MedlibError(f"{each.path} holds other cases of {task.data} than {first.path}")
    return found


def pictures() -> dict[str, dict[str, Any]]:
    """Return where the pictures of each set will lie, for the sets that may be and are there."""
    sheets = {task.data: explorer_pictures.sheet(task.data) for task in TASKS}
    return {name: sheet for name, sheet in sheets.items() if sheet}


def payload(
    scores: dict[Task, list[Scores]], sheets: Mapping[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return what the script needs: for each set its words, cases, labels (1: to be found), scores.

    A score is the probability of the class to be found, with all digits of the file. The sheet is
    that of the set's pictures, or None.
    """
    return [
        {
            "title": task.title,
            "found": task.found,
            "other": task.other,
            "sheet": sheets.get(task.data),
            "cases": many[0].index.tolist(),
            "labels": (many[0].labels == task.positive).astype(int).tolist(),
            "models": [
                {"name": model.name, "scores": each.probabilities[:, task.positive].tolist()}
                for model, each in zip(MODELS, many, strict=True)
            ],
        }
        for task, many in scores.items()
    ]


def render(
    scores: dict[Task, list[Scores]], sheets: Mapping[str, dict[str, Any]] | None = None
) -> str:
    """Return the explorer's HTML: an empty place for the controls, the tables, the data."""
    data = json.dumps(payload(scores, sheets or {}), separators=(",", ":")).replace("</", "<\\/")
    tables = "\n".join(_table(task, many) for task, many in scores.items())
    return (
        f'<div class="{MARK}">\n<div class="explorer-live"></div>\n'
        f"<details open><summary>The same as a table: {len(THRESHOLDS)} thresholds for each "
        f"model</summary>\n{tables}\n</details>\n"
        f'<script type="application/json">{data}</script>\n</div>\n'
    )


def rounded(value: float) -> str:
    """Return a share with three decimals as the script rounds: a half goes up."""
    return str(Decimal(value).quantize(Decimal("0.001"), ROUND_HALF_UP))


def complete_page(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Load the scripts on the pages that hold an explorer, and on no other; write its pictures."""
    body = context.get("body", "")
    if f'class="{MARK}"' not in body:
        return
    for script in (SHARED, SCRIPT):  # in this order
        app.add_js_file(script, loading_method="defer")
    folder = Path(app.outdir) / explorer_pictures.FOLDER
    for name, sheet in pictures().items():
        if sheet["file"] in body:
            explorer_pictures.write_sheet(name, folder / sheet["file"])


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive; its settings are those of ``medlib_claims``."""
    app.setup_extension("medlib_claims")
    app.add_directive("explorer", Explorer)
    app.connect("html-page-context", complete_page)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def _table(task: Task, many: list[Scores]) -> str:
    """Return one set's operating points as a table that scrolls where it is too wide."""
    head = "".join(f'<th scope="col">{name}</th>' for name in (*HEAD, *SHARES))
    rows = "\n".join(_rows(task, many))
    caption = html.escape(f"{task.title}: {task.found} is to be found")
    return (
        f'<div class="explorer-scroll" tabindex="0" role="region" aria-label="{caption}">\n'
        f"<table><caption>{caption}</caption>\n<thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{rows}\n</tbody></table></div>"
    )


def _rows(task: Task, many: list[Scores]) -> Iterator[str]:
    from medlib.thresholds import decided  # loads SciPy, which a build without the page spares

    for model, each in zip(MODELS, many, strict=True):
        for cut in THRESHOLDS:
            acted = decided(each, cut, positive=task.positive)
            cells = "".join(f"<td>{cell}</td>" for cell in [f"{cut:g}", *_cells(acted)])
            yield f'<tr><th scope="row">{html.escape(model.name)}</th>{cells}</tr>'


def _cells(acted: Scores) -> list[str]:
    """Return the cells of one threshold: the four counts, sensitivity, specificity."""
    from medlib.plots.decisions import confusion_counts  # loads Matplotlib

    (clear, alarms), (missed, found) = confusion_counts(acted.labels, acted.probabilities).tolist()
    shares = (acted.value("sensitivity"), acted.value("specificity"))
    return [*map(str, (found, missed, alarms, clear)), *map(rounded, shares)]


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    return np.array_equal(a, b)
