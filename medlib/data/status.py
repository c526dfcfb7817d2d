"""Which data is here, told quickly: the digests that the workflow compares from run to run."""

import importlib.util
import json
from collections.abc import Iterable
from pathlib import Path

from medlib import paths
from medlib.data import archive, store
from medlib.data.cards import Card, card
from medlib.errors import MedlibError

MISSING = "missing"
PHANTOM = "phantom"


def data_status(names: Iterable[str]) -> dict[str, str]:
    """Tell for each data set what lies here.

    A digest is computed once and remembered for as long as the file keeps its size and its times,
    so that a second call costs next to nothing. One of the times is that of the last change of any
    kind, which no program can set: a file that was replaced under its old date is read again.

    Parameters
    ----------
    names : iterable of str
        Names of cards; ``"phantom"`` stands for generated data.

    Returns
    -------
    dict of str to str
        The digest of the data, or ``"missing"``, or ``"phantom"``. A file that cannot be read
        counts as missing.
    """
    memory = _Memory(paths.cache_dir() / ".digests.json")
    found = {name: _status(name, memory) for name in names}
    memory.save()
    return found


def _status(name: str, memory: "_Memory") -> str:
    if name == PHANTOM:
        return PHANTOM
    wanted = card(name)
    if wanted.layout == "sklearn":
        installed = importlib.util.find_spec("sklearn") is not None
        return wanted.digests["arrays"] if installed else MISSING
    try:
        path = store.find(wanted)
        return MISSING if path is None else memory.digest(wanted, path)
    except (MedlibError, OSError):
        return MISSING


class _Memory:
    """Digests of files, remembered by path, size and times of change."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._changed = False
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            found = {}
        self._digests: dict[str, str] = found if isinstance(found, dict) else {}

    def digest(self, wanted: Card, path: Path) -> str:
        """Return the digest of a file, computing it where the file is new or has changed."""
        facts = path.stat()
        times = f"{facts.st_mtime_ns}|{facts.st_ctime_ns}|{facts.st_ino}"
        key = f"{path.resolve()}|{facts.st_size}|{times}"
        if key not in self._digests:
            self._digests[key] = _digest(wanted, path)
            self._changed = True
        return self._digests[key]

    def save(self) -> None:
        """Write what was learned; a cache that cannot be written costs time only."""
        if not self._changed:
            return
        partial = self._path.with_name(self._path.name + ".part")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(json.dumps(self._digests, indent=1, sort_keys=True), "utf-8")
            partial.replace(self._path)
        except OSError:
            pass


def _digest(wanted: Card, path: Path) -> str:
    if "md5" in wanted.digests:
        return archive.digest_of_file(path, "md5")
    return archive.digest_of_arrays(archive.read_arrays(path))
