"""One set of packages, said in four places: project, constraints, environment.yml, Makefile."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from book.workflow import check_python, licences, lock
from medlib.errors import MedlibError

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))
BINDER = yaml.safe_load((ROOT / ".binder" / "environment.yml").read_text("utf-8"))
PIN = re.compile(r"([A-Za-z0-9._-]+)==(\S+?)(?:\s*;.*)?")
MINE = {"medlib", "book", "tests", "medlib_claims", "medlib_site"}
BROUGHT = {  # imported only where the package that brings them is there
    "matplotlib_inline": "ipykernel",
    "myst_parser": "jupyter-book",
    "hatchling": "the build system",
}


def lines(name: str) -> list[str]:
    text = (ROOT / name).read_text("utf-8")
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def pins() -> dict[str, str]:
    return {
        canonicalize_name(name): version
        for name, version in licences.pinned((ROOT / "constraints.txt").read_text("utf-8")).items()
    }


def declared() -> list[Requirement]:
    extras = [each for extra in EXTRAS.values() for each in extra]
    return [Requirement(text) for text in [*PROJECT["dependencies"], *extras]]


def pip_lines() -> list[str]:
    return next(each["pip"] for each in ENVIRONMENT["dependencies"] if isinstance(each, dict))


def test_every_constraint_is_one_exact_pin_and_they_are_sorted():
    found = [PIN.fullmatch(line) for line in lines("constraints.txt")]
    assert all(found), "constraints.txt holds NAME==VERSION lines only"
    names = [canonicalize_name(match[1]) for match in found]
    assert len(names) == len(set(names))


def test_no_dependency_is_declared_twice():
    for declared_in in (PROJECT["dependencies"], *EXTRAS.values()):
        names = [Requirement(text).name for text in declared_in]
        assert len(names) == len(set(names))


@pytest.mark.parametrize("requirement", declared(), ids=lambda each: each.name)
def test_every_dependency_is_pinned_within_its_bounds(requirement):
    pinned = pins().get(canonicalize_name(requirement.name))
    assert pinned, f"{requirement.name} is missing in constraints.txt"
    assert requirement.specifier.contains(pinned, prereleases=True)


def test_what_the_dependencies_bring_is_pinned_too():
    if sys.platform != "linux" or not metadata.version("torch").startswith(pins()["torch"]):
        pytest.skip("the constraints were written on Linux, with the torch that they pin")
    missing = sorted(set(_closure(declared())) - set(pins()))
    assert not missing, f"missing in constraints.txt: {', '.join(missing)}"


def test_every_import_is_a_declared_dependency():
    distributions = metadata.packages_distributions()
    names = {canonicalize_name(each.name) for each in declared()}
    for module, files in _imports().items():
        brought_by = {canonicalize_name(d) for d in distributions.get(module, [module])}
        assert brought_by & names, f"{module} (in {', '.join(files)}): add it to pyproject.toml"


def test_the_library_alone_needs_no_extra_but_the_one_for_export():
    distributions = metadata.packages_distributions()
    wanted = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["export"]
    base = {canonicalize_name(Requirement(text).name) for text in wanted}
    for module, files in _imports("medlib").items():
        brought_by = {canonicalize_name(d) for d in distributions.get(module, [module])}
        assert brought_by & base, f"{module} (in {', '.join(files)}) is no dependency of medlib"


def test_conda_installs_the_same_extras_from_the_same_constraints():
    assert pip_lines() == ["-c constraints.txt", f"-e .[{','.join(EXTRAS)}]"]
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert f"-c constraints.txt -e '.[{','.join(EXTRAS)}]'" in makefile


def test_binder_has_the_same_bounds_and_a_torch_without_gpu_parts():
    names = {"torch": "pytorch-cpu", "torchvision": "torchvision"}
    bounds = {r.name: str(r.specifier) for r in map(Requirement, PROJECT["dependencies"])}
    python, pip, *rest = BINDER["dependencies"]
    assert pip == "pip", "postBuild calls it; with a list of packages Binder would install twice"
    assert BINDER["channels"] == ENVIRONMENT["channels"]
    assert rest == [f"{names[name]}{bounds[name]}" for name in names]
    head = (ROOT / "lock.txt").read_text("utf-8").splitlines()[1]
    assert re.search(r"cpython ([\d.]+)", head)[1] == python.removeprefix("python=")


def test_binder_installs_the_library_in_the_tested_versions(tmp_path):
    for tool in ("python", "medlib"):
        script = (
            f'#!/bin/sh\necho "{tool} $*" >> {tmp_path}/calls\n'
            f'[ -f "$6" ] && cp "$6" {tmp_path}/kept || true\n'
        )
        (tmp_path / tool).write_text(script, encoding="utf-8")
        (tmp_path / tool).chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    subprocess.run([ROOT / ".binder/postBuild"], cwd=ROOT, env={"PATH": path}, check=True)
    install, data = (tmp_path / "calls").read_text("utf-8").splitlines()
    assert re.fullmatch(r"python -m pip install --no-cache-dir -c \S+ -e \.", install)
    assert data == "medlib data get"
    kept = set((tmp_path / "kept").read_text("utf-8").splitlines())
    left_out = {PIN.fullmatch(line)[1] for line in set(lines("constraints.txt")) - kept}
    heavy = {name for name in pins() if name.startswith(("nvidia-", "cuda-"))} | {"triton"}
    assert {canonicalize_name(name) for name in left_out} == heavy | {"torch", "torchvision"}


def test_all_name_the_same_range_of_python():
    conda = next(d for d in ENVIRONMENT["dependencies"] if str(d).startswith("python"))
    assert SpecifierSet(conda.removeprefix("python")) == SpecifierSet(PROJECT["requires-python"])
    allowed = [v for v in range(5, 30) if f"3.{v}" in SpecifierSet(PROJECT["requires-python"])]
    assert (3, allowed[0]) == check_python.OLDEST
    assert (3, allowed[-1]) == check_python.NEWEST


def test_the_locked_archives_are_those_that_are_pinned():
    text = (ROOT / "lock.txt").read_text("utf-8").replace("\\\n", " ")
    entries = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    locked = {canonicalize_name(e[0].partition("==")[0]): e[0].partition("==")[2] for e in entries}
    known = pins()
    assert {name: known.get(name) for name in locked} == locked
    assert all(any(word.startswith("--hash=sha256:") for word in e) for e in entries)
    assert {canonicalize_name(each.name) for each in declared()} <= set(locked)
    assert "://" not in text, "the lock names no host"


def archive(name: str, url: str, digest: str) -> dict:
    info = {"url": url, "archive_info": {"hashes": {"sha256": digest} if digest else {}}}
    return {"metadata": {"name": name, "version": "1.0"}, "download_info": info}


def report(*items: dict) -> dict:
    where = {
        "implementation_name": "cpython",
        "python_version": "3.11",
        "sys_platform": "linux",
        "platform_machine": "x86_64",
    }
    return {"environment": where, "install": list(items)}


def test_a_lock_is_written_from_a_report_of_pip_without_ourselves():
    items = [
        archive("B_c", "https://index/b.whl", "b" * 64),
        archive("a", "https://index/a.whl", "a" * 64),
        archive("medlib", "file:///here", ""),
    ]
    text = lock.lock_text(report(*items))
    assert "# For cpython 3.11, linux x86_64." in text
    assert text.endswith(
        f"a==1.0 \\\n    --hash=sha256:{'a' * 64}\nb-c==1.0 \\\n    --hash=sha256:{'b' * 64}\n"
    )


def test_a_lock_refuses_what_others_cannot_get():
    with pytest.raises(MedlibError, match="from this machine's disk"):
        lock.lock_text(report(archive("a", "file:///here/a.whl", "a" * 64)))
    with pytest.raises(MedlibError, match="no sha256 for a==1.0"):
        lock.lock_text(report(archive("a", "https://index/a.whl", "")))


def _closure(wanted: list[Requirement]) -> Iterator[str]:
    """Yield all that the requirements bring on this machine, by the installed metadata."""
    todo, seen = list(wanted), set()
    while todo:
        requirement = todo.pop()
        key = (canonicalize_name(requirement.name), frozenset(requirement.extras))
        if key in seen:
            continue
        seen.add(key)
        yield key[0]
        extras = requirement.extras or {""}
        for text in metadata.requires(requirement.name) or []:
            each = Requirement(text)
            if not each.marker or any(each.marker.evaluate({"extra": e}) for e in extras):
                todo.append(each)


def _imports(*folders: str) -> dict[str, list[str]]:
    """Return the foreign modules that the code imports, with the files that do."""
    found: dict[str, set[str]] = {}
    for folder in folders or ("medlib", "book", "tests"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                for name in _named(node):
                    if not path.with_name(f"{name}.py").exists():
                        found.setdefault(name, set()).add(path.name)
    helpers = {path.stem for path in (ROOT / "tests").rglob("*.py")}
    known = set(sys.stdlib_module_names) | MINE | set(BROUGHT) | helpers
    return {name: sorted(files) for name, files in sorted(found.items()) if name not in known}


def _named(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name.split(".")[0] for alias in node.names]
    if isinstance(node, ast.ImportFrom) and not node.level:
        return [node.module.split(".")[0]]
    return []
