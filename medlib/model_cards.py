"""Model cards: one table that says what a model is for, what made it, what it does, what is open.

After Mitchell et al., "Model cards for model reporting", FAT* 2019. Every number of a card comes
from the scores, the record or the data card that it is given, so that no card outlives its run.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from medlib.tables import NAMES, Table, table

if TYPE_CHECKING:
    from medlib.data import Card
    from medlib.evaluate import Scores

NOT_FOR = "decisions about patients: made for learning and research, no medical device"


def model_card(
    title: str,
    *,
    use: str,
    data: "Card",
    scores: "Mapping[str, Scores | Sequence[Scores]]",
    metrics: Sequence[str] = ("auc",),
    training: str,
    operating: Mapping[str, str] | None = None,
    limits: Sequence[str] = (),
) -> Table:
    """Return the card of a model as a table of two columns.

    Parameters
    ----------
    title : str
        Name of the model and its task.
    use : str
        What it is meant for, in words.
    data : Card
        The set that it learned from; its known flaws go into the card.
    scores : mapping of str to Scores or sequence of Scores
        The model's test scores, one a seed, and after them those of what it has to beat, by name.
    metrics : sequence of str
        Names in `medlib.metrics.METRICS`: one line each, with 95 % intervals over cases (patients
        where the scores name them) and seeds.
    training : str
        How it was made, such as `trained` says it.
    operating : mapping of str to str, optional
        Lines about the operating point, by their heading.
    limits : sequence of str
        What the scores do not show.
    """
    from medlib.plots.shown import marked, prepared

    models, note = prepared(scores)
    rows = [
        ("meant for", use),
        ("not for", NOT_FOR),
        ("pictures", _pictures(data)),
        ("labels", "; ".join(data.supported or data.classes)),
        ("cases", _cases(data, next(iter(models.values()))[0])),
        ("training", training),
        *_results(models, metrics),
        *(operating or {}).items(),
        ("known flaws of the data", " ".join(flaw["what"] for flaw in data.flaws) or "none noted"),
        ("not shown", "; ".join(limits) or "nothing noted"),
    ]
    made = table(rows, ("entry", "value"), marked(f"Model card: {title}", note))
    return replace(made, numeric=(False, False))  # values are sentences: none is set to the right


def trained(record: Mapping[str, Any], data: "Card", *, seeds: int) -> str:
    """Return in words how a network was trained.

    Parameters
    ----------
    record : mapping
        Of a long run, see `medlib.long_records`; for a live training a mapping with ``network``,
        ``options``, ``recipe`` (`Recipe.as_dict`) and ``history`` (`History.to_dict`).
    data : Card
        Decides channels, classes and size of the network.
    seeds : int
        How many trainings the scores rest on.
    """
    from medlib.losses import DEFAULTS
    from medlib.models import create
    from medlib.summary import parameters

    recipe = record["recipe"]
    network = create(
        record["network"],
        in_channels=data.channels,
        num_classes=data.num_classes,
        image_size=data.size,
        **record["options"],
    )
    loss = recipe.get("loss") or DEFAULTS["labels" if data.multi_label else "classes"]
    return (
        f"{record['network']} with {parameters(network):,} parameters, from random weights; "
        f"{record['history']['steps']:,} steps of {recipe['batch_size']} images, "
        f"{recipe['optimizer']}, loss {loss.replace('_', ' ')}; {seeds} seeds"
    )


def _pictures(data: "Card") -> str:
    colour = "colour" if data.channels == 3 else "grey"
    licence = data.licence["name"] if data.licence["read"] else "licence not read"
    return f"{data.title}: {data.modality}, {data.size} px, {colour}; {licence}"


def _cases(data: "Card", scores: "Scores") -> str:
    """Say how many cases and patients there are; scores of pooled folds hold all of them."""
    groups = scores.groups
    patients = "no patients named" if groups is None else f"{len(np.unique(groups)):,} patients"
    if scores.variant.startswith("folds"):
        return f"{len(scores.labels):,} of {patients}, each patient predicted from the others"
    counts = data.counts
    words = f"{counts['train']:,} to train, {counts['val']:,} to validate"
    return f"{words}, {len(scores.labels):,} to test ({patients})"


def _results(
    models: "Mapping[str, Sequence[Scores]]", metrics: Sequence[str]
) -> Iterator[tuple[str, str]]:
    from medlib.plots.shown import estimate, written

    for metric in metrics:
        each = [f"{name} {written(estimate(many, metric))}" for name, many in models.items()]
        yield f"test: {NAMES.get(metric, metric.replace('_', ' '))}", "; ".join(each)
