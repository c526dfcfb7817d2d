"""What the long runs left: scores of test splits, and a record of each training.

Training every network on every set takes hours. The workflow does it once (``make results``); the
scores and records are committed in ``results/long``. A chapter reads them here and trains nothing;
a claim that rests on them says ``long: true`` in ``book/claims.yml``.
"""

from pathlib import Path
from typing import Any

from medlib import paths, results
from medlib.cases import Cases
from medlib.errors import MedlibError
from medlib.evaluate import Scores, read_scores


def long_scores(chapter: str, model_id: str, data: str, variant: str = "") -> list[Scores | Cases]:
    """Read the committed scores of one model on one set, one a seed.

    Parameters
    ----------
    chapter : str
        The chapter that the long run belongs to, such as ``"03-10-side-by-side"``.
    model_id, data, variant : str
        The key under which the test split was scored; the variant ``"masks"`` gives `Cases`.

    Returns
    -------
    list of Scores or Cases
        By seed, from 0.

    Raises
    ------
    MedlibError
        Where there are none; the message lists what the long run of that chapter holds.
    """
    folder = results.published_dir("long") / "scores" / chapter
    found = [read_scores(path) for path in _files(folder, model_id, data, variant)]
    if not found:
        known = sorted({path.stem.partition("__seed")[0] for path in folder.glob("*.csv")})
        raise MedlibError(
            f"no long run of {chapter} has scored {model_id} on {data}: there are "
            f"{', '.join(known) or 'none'}"
        )
    return found


def long_records(model_id: str, data: str, variant: str = "") -> list[dict[str, Any]]:
    """Read how one model was trained on one set: a record a seed.

    Parameters
    ----------
    model_id, data, variant : str
        As in `long_scores`; a segmenter's records have the variant ``"masks"``.

    Returns
    -------
    list of dict
        By seed: ``network``, ``options``, ``recipe``, ``history`` (a row an epoch),
        ``validation`` and the ``stamp`` with hardware and seconds.

    Raises
    ------
    MedlibError
        Where there is none.
    """
    folder = results.published_dir("long") / "jobs"
    found = [results.read_json(path) for path in _files(folder, model_id, data, variant, "json")]
    if not found:
        raise MedlibError(f"no long run has a record of {model_id} on {data} in {folder}")
    return [record for record in found if record is not None]


def _files(folder: Path, model_id: str, data: str, variant: str, end: str = "csv") -> list[Path]:
    """Return the files of one model and set, by seed."""
    names = (paths.score_file(model_id, data, seed, variant) for seed in range(100))
    files = (folder / f"{name.removesuffix('.csv')}.{end}" for name in names)
    return [path for path in files if path.is_file()]
