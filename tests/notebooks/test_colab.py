"""A copy runs as on Colab: in an environment without medlib, from its first cell on, far away."""

import os
import shutil
import subprocess
import sysconfig
import venv
from pathlib import Path

import nbformat
import pytest

from book.workflow import chapters, source

ROOT = chapters.ROOT
# Short ones, each of another kind; MEDLIB_COLAB=all takes every copy, as the nightly workflow does.
SHORT = {
    "02-05-metrics": "explains",
    "03-02-lenet-alexnet": "trains networks",
    "04-05-evaluating": "takes what another chapter left",
}
OURS = ("medlib", "_editable_impl_medlib", "__editable__")
EXECUTE = """
import sys, papermill
papermill.execute_notebook(
    sys.argv[1], sys.argv[2], parameters={"profile": "fast", "device": "cpu"},
    kernel_name="python3", execution_timeout=80, progress_bar=False,
)
"""
WHERE = "import medlib, importlib.metadata as m; print(medlib.__file__, m.version('medlib'))"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def _copies() -> list[Path]:
    """Return the copies that are run: three, or all of them."""
    every = os.environ.get("MEDLIB_COLAB") == "all"
    return [each.copy for each in chapters.chapters() if every or each.stem in SHORT]


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Put the working tree, as it is now, into a git repository of its own and return its URL."""
    if not (shutil.which("git") and (ROOT / ".git").exists()):
        pytest.skip("installing from git needs git and a checkout")
    folder = tmp_path_factory.mktemp("origin")
    for name in _git(ROOT, "ls-files", "-co", "--exclude-standard", "-z").split("\0"):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    _git(folder, "init", "-q", "-b", "main")
    _git(folder, "add", "-A")
    _git(folder, "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-q", "-m", "copy")
    return f"git+{folder.as_uri()}"


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an environment that sees every installed package but medlib, and return its Python.

    ``--system-site-packages`` would show the packages below the environment that the tests run in,
    not that environment's own; a folder of links shows those, and leaves ours out.
    """
    folder = tmp_path_factory.mktemp("colab")
    shown = folder / "shown"
    shown.mkdir()
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if not path.name.startswith((*OURS, "__pycache__")) and path.suffix != ".pth":
            (shown / path.name).symlink_to(path)
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    found = next((folder / "venv").glob("lib/python*/site-packages"))
    (found / "shown.pth").write_text(f"{shown}\n", encoding="utf-8")
    return folder / "venv" / "bin" / "python"


def test_the_environment_sees_torch_but_not_medlib(python, tmp_path):
    code = (
        "import importlib.util as u; print(*(u.find_spec(n) is None for n in ('medlib', 'torch')))"
    )
    assert _run([python, "-c", code], tmp_path).split() == ["True", "False"]


def test_the_short_ones_are_of_three_kinds():
    needs = {stem: source.needs(source.read(chapters.chapter(stem).source)) for stem in SHORT}
    assert [stem for stem, taken in needs.items() if taken] == ["04-05-evaluating"]
    code = {stem: chapters.chapter(stem).source.read_text("utf-8") for stem in SHORT}
    assert [stem for stem in SHORT if " = fit(" in code[stem]] == ["03-02-lenet-alexnet"]


@pytest.mark.parametrize("copy", _copies(), ids=lambda path: path.stem)
def test_a_copy_runs_from_its_first_cell_on(origin, python, tmp_path, copy):
    assert copy.exists(), "run: make sync"
    _run([python, "-c", EXECUTE, copy, "executed.ipynb"], tmp_path, MEDLIB_INSTALL_FROM=origin)
    executed = nbformat.read(tmp_path / "executed.ipynb", as_version=4)
    code = [cell for cell in executed.cells if cell.cell_type == "code" and cell.source.strip()]
    assert all(cell.execution_count for cell in code)
    installed = _run([python, "-c", WHERE], tmp_path).split()
    assert installed[0].startswith(str(python.parents[1]))
    results = tmp_path / "_build" / "fast" / "results" / f"{copy.stem}.json"
    assert results.is_file(), "an installed medlib writes below the current folder"


def test_the_second_run_installs_nothing(origin, python, tmp_path):
    first = nbformat.read(_copies()[0], as_version=4).cells[0].source
    _run([python, "-c", first], tmp_path, MEDLIB_INSTALL_FROM=origin)
    _run([python, "-c", first], tmp_path, MEDLIB_INSTALL_FROM="git+file:///nowhere", PATH="")


def _run(command: list[object], folder: Path, **extra: str) -> str:
    """Run a command outside the repository, without the paths and settings of this one."""
    private = {"PYTHONPATH", "VIRTUAL_ENV", "MEDLIB_CACHE", "GITHUB_REPOSITORY"}
    environment = {key: value for key, value in os.environ.items() if key not in private}
    environment |= {
        "PIP_NO_DEPS": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "MEDLIB_CACHE": str(folder / "cache"),
        "OMP_NUM_THREADS": "1",
        "IPYTHONDIR": str(folder / "ipython"),
        **_no_build_isolation(),
        **extra,
    }
    done = subprocess.run(
        [str(part) for part in command], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-6000:]}"
    return done.stdout


def _no_build_isolation() -> dict[str, str]:
    """Build with the hatchling that is installed, so that the test needs no network."""
    try:
        import hatchling  # noqa: F401
    except ImportError:
        return {}
    return {"PIP_NO_BUILD_ISOLATION": "0"}  # pip reads it the other way round: 0 means no isolation


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout
