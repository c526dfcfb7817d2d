"""Run a command that ends when this process ends, however that is.

A process that receives SIGKILL cannot end those that it started, and they would go on writing into
the folders of the next build. So a command runs below a small keeper in a process group of its own.
The keeper holds one end of a pipe whose other end is here: when it breaks, the keeper ends its
group. Kernels of chapters have groups of their own and end by themselves when their parent does.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO


def start(
    command: Sequence[str],
    *,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
    log: IO[str] | None = None,
) -> subprocess.Popen:
    """Start a command that does not outlive this process.

    Parameters
    ----------
    command : sequence of str
        Program and arguments.
    cwd : Path, optional
        Where it runs.
    env : dict, optional
        Its environment.
    log : file, optional
        Where its output goes; this process's own where omitted.
    """
    keeper = [sys.executable, "-P", str(Path(__file__).resolve()), *command]  # -P: no module here
    return subprocess.Popen(
        keeper, cwd=cwd, env=env, stdin=subprocess.PIPE, stdout=log, stderr=log,
        start_new_session=True,
    )  # fmt: skip


def call(command: Sequence[str], *, cwd: Path | None = None) -> int:
    """Run a command to its end and return its exit code; Ctrl-C ends it as well."""
    process = start(command, cwd=cwd)
    try:
        return process.wait()
    except KeyboardInterrupt:
        stop(process)
        raise


def stop(process: subprocess.Popen, patience: float = 3.0) -> None:
    """End a command and all that it started, gently at first, and by force after some seconds."""
    for number, seconds in ((signal.SIGINT, patience), (signal.SIGKILL, None)):
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(process.pid, number)
            process.wait(timeout=seconds)


def main() -> int:
    """Keep a command: end with it, and end it when the other end of standard input is gone."""
    signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C is for the command, which inherits none
    threading.Thread(target=_end_with_parent, daemon=True).start()
    code = subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL).returncode
    return 128 - code if code < 0 else code


def _end_with_parent() -> None:
    """Wait until the pipe breaks, which the parent never writes to."""
    os.read(0, 1)  # holds no lock of Python's that its end would wait for
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
