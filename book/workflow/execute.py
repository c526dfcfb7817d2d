"""Execute one chapter with papermill and stamp the run: what ran, where, how long, how it ended."""

import argparse
import datetime
import hashlib
import json
import os
import platform
import re
import resource
import sys
import time
import traceback
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from book.workflow import chapters, kept, source
from medlib import paths
from medlib.results import read_json, write_text

PARAMETERS = ("profile", "seed", "device")
SEEN_BY_TORCH = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "ATEN_CPU_CAPABILITY")
TIMEOUT = 3600  # seconds a cell; no chapter comes near it, but a hang must end
VERSIONED = ("torch", "torchvision", "numpy", "scikit-learn", "scikit-image", "papermill")
ANSI = re.compile(r"\x1b\[[0-9;]*m")
KERNEL = re.compile(r"\S*ipykernel_\d+/\d+\.py")  # named by a warning, with a process number


def execute(stem: str, profile: str, seed: int, device: str) -> dict:
    """Execute a chapter and write the executed notebook and its stamp.

    Parameters
    ----------
    stem : str
        The chapter's file name without its ending.
    profile, seed, device
        The papermill parameters, the only switches a chapter has.

    Returns
    -------
    dict
        The stamp. Its ``status`` is ``ok``, ``missing-data`` or ``failed``; a chapter that raised
        still leaves a notebook, so that its page can show the error.
    """
    build = paths.build_dir(profile)
    target = build / "executed" / f"{stem}.ipynb"
    for folder in ("executed", "results", "stamps", "work"):
        (build / folder).mkdir(parents=True, exist_ok=True)
    (build / "results" / f"{stem}.json").unlink(missing_ok=True)
    started = time.time()
    parameters = {"profile": profile, "seed": seed, "device": device}
    status, error = _run(stem, parameters, target, build / "work")
    stamp = {
        "chapter": stem,
        **parameters,
        "status": status,
        "error": error,
        "started": datetime.datetime.fromtimestamp(started, datetime.UTC).isoformat("T", "seconds"),
        "seconds": round(time.time() - started, 1),
        "processor_seconds": _processor_seconds(),
        "peak_memory_mb": _peak_memory(),
        **_provenance(stem, build),
    }
    write_text(build / "stamps" / f"{stem}.json", json.dumps(stamp, indent=1, sort_keys=True))
    return stamp


def check_parameters(notebook: NotebookNode, stem: str) -> None:
    """Refuse a chapter whose parameters cell does not define exactly our switches.

    papermill only warns of an unknown parameter, and the chapter would then run unchanged.
    """
    cells = [c for c in source.code_cells(notebook) if source.tagged(c, "parameters")]
    names = re.findall(r"^(\w+)\s*=", cells[0].source, flags=re.M) if len(cells) == 1 else []
    if sorted(names) != sorted(PARAMETERS):
        raise ValueError(
            f"{stem}: one cell tagged 'parameters' must define {', '.join(PARAMETERS)}; "
            f"found {len(cells)} such cells, defining {', '.join(names) or 'nothing'}"
        )


def strip(notebook: NotebookNode) -> NotebookNode:
    """Drop what papermill and the kernel add and what changes from run to run, in place."""
    notebook.cells = [
        cell
        for cell in notebook.cells
        if not source.tagged(cell, "papermill-error-cell-tag")
        and not source.tagged(cell, "injected-parameters")
    ]
    notebook.metadata = NotebookNode({"kernelspec": notebook.metadata.get("kernelspec", {})})
    for position, cell in enumerate(notebook.cells):
        cell.id = f"cell-{position}"
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
        if cell.cell_type == "code":
            cell.outputs = joined(cell.outputs)
        for output in cell.get("outputs", []):
            _strip_output(output)
    return notebook


def joined(outputs: list[dict]) -> list[dict]:
    """Join neighbours that were printed to one stream: where they were cut follows the clock."""
    found: list[dict] = []
    for output in outputs:
        if output["output_type"] == "stream":
            output["text"] = "".join(output["text"])  # in a file, a list of lines
            if found and found[-1].get("name") == output["name"]:
                found[-1]["text"] += output["text"]
                continue
        found.append(output)
    return found


def _strip_output(output: NotebookNode) -> None:
    """Make an output the same in every run: no addresses, no progress that was overwritten."""
    if output.output_type == "stream":
        output.text = "\n".join(line.split("\r")[-1] for line in output.text.split("\n"))
        output.text = KERNEL.sub("<cell>", output.text)
    if output.output_type == "error":
        output.traceback = [ANSI.sub("", line) for line in output.traceback]
    for kind, value in output.get("data", {}).items():
        if kind.startswith("text/") and isinstance(value, str):
            output.data[kind] = re.sub(r" at 0x[0-9a-f]{6,}", "", value)


def _run(stem: str, parameters: dict, target: Path, work: Path) -> tuple[str, str | None]:
    """Run papermill; return the status and, where the chapter did not end well, its error."""
    import jupytext
    import papermill
    from papermill.exceptions import PapermillExecutionError

    notebook = source.read(chapters.chapter(stem).source)
    draft = target.with_suffix(".tmp.ipynb")
    status, error = "ok", None
    try:
        check_parameters(notebook, stem)
        papermill.execute_notebook(
            notebook, str(draft), parameters=parameters, kernel_name="python3", cwd=str(work),
            execution_timeout=TIMEOUT, progress_bar=False,
        )  # fmt: skip
    except PapermillExecutionError as raised:
        missing = raised.ename == "DataUnavailable"
        status, error = "missing-data" if missing else "failed", f"{raised.ename}: {raised.evalue}"
        if not missing:
            print(ANSI.sub("", str(raised)), file=sys.stderr)
    except Exception as raised:
        traceback.print_exc()
        status, error = "failed", f"{type(raised).__name__}: {raised}"
    written = jupytext.read(draft) if draft.exists() else notebook
    draft.unlink(missing_ok=True)
    write_text(target, jupytext.writes(strip(written), fmt="ipynb"))
    return status, error


def _provenance(stem: str, build: Path) -> dict:
    """Say what ran: hashes of the sources, versions, hardware, data."""
    prints = build / "fingerprints" / f"{stem}.json"
    known = json.loads(prints.read_text("utf-8")) if prints.exists() else {}
    found = read_json(build / "results" / f"{stem}.json") or {}
    modules = json.dumps(known.get("medlib", {}), sort_keys=True)
    return {
        "source_hash": known.get("source"),
        "medlib_hash": hashlib.sha256(modules.encode()).hexdigest()[:16],
        "data": known.get("data", {}),
        "missing": sorted(k for k, v in known.get("data", {}).items() if v == "missing"),
        "synthetic": bool(found.get("synthetic", False)),
        "versions": {"python": platform.python_version(), **_versions()},
        "hardware": hardware(),
    }


def hardware() -> dict:
    """Describe the machine: processor, cores, threads used, GPU, platform."""
    known = kept.kept("hardware", kept.digest(*_machine()), _seen_by_torch)
    return {
        "cpu": _processor(),
        "cores": os.cpu_count(),
        "threads": int(os.environ.get("OMP_NUM_THREADS", "0")) or known["threads"],
        "instructions": known["instructions"],
        "gpu": known["gpu"],
        "platform": f"{platform.system()} {platform.machine()}",
    }


def _seen_by_torch() -> dict[str, Any]:
    """Return what PyTorch says of the machine: to load it takes longer than all else here."""
    import torch

    return {
        "threads": torch.get_num_threads(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
    }


def _machine() -> Iterator[str]:
    """Yield what decides what PyTorch sees: the machine and its start, its devices, settings."""
    yield from (platform.node(), _processor(), str(os.cpu_count()), metadata.version("torch"))
    started = Path("/proc/sys/kernel/random/boot_id")
    yield started.read_text("utf-8") if started.exists() else ""
    yield " ".join(sorted(path.name for path in Path("/dev").glob("nvidia*")))
    yield from (os.environ.get(name, "") for name in SEEN_BY_TORCH)


def _processor() -> str:
    """Return the processor's name, which `platform` does not know on Linux."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text("utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _versions() -> dict[str, str]:
    return {name: metadata.version(name) for name in VERSIONED}


def _peak_memory() -> int:
    """Return the largest resident size of the kernel, in MB; the kernel has ended by now."""
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return round(peak / (1 if platform.system() != "Darwin" else 1024) / 1024)


def _processor_seconds() -> float:
    """Return the time that the kernel was at work on a processor, whatever else ran beside it."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return round(used.ru_utime + used.ru_stime, 1)


def main() -> int:
    """Execute the chapter named on the command line; the stamp tells how it went."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stem")
    parser.add_argument("--profile", default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("PYTHONHASHSEED", "0")
    stamp = execute(args.stem, args.profile, args.seed, args.device)
    print(f"{stamp['status']} {args.stem} {stamp['seconds']} s {stamp['peak_memory_mb']} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
