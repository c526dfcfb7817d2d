"""`make lint`: ruff, code style, claims and prose, the lock on the test labels, Colab copies."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CODE = ("medlib", "book", "tests")
CHECKS = (
    ("ruff check", ["-m", "ruff", "check", *CODE]),
    ("ruff format", ["-m", "ruff", "format", "--check", *CODE]),
    ("style of medlib", ["-m", "tests.style_metrics", "medlib", "--check"]),
    ("style of the workflow", ["-m", "tests.style_metrics", "book", "--check"]),
    ("claims and prose", ["-m", "book.workflow.lint"]),
    ("lock on the test labels", ["-m", "book.workflow.lock_check"]),
    ("translations in step", ["-m", "book.workflow.translation_lint"]),
    ("Colab copies in step", ["-m", "book.workflow.sync", "--check"]),
)


def main() -> int:
    """Run every check, print one line each and the output of those that fail."""
    failed = 0
    for name, arguments in CHECKS:
        done = subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True
        )
        print(f"{'ok    ' if done.returncode == 0 else 'FAILED'} {name}", flush=True)
        if done.returncode:
            failed += 1
            print(done.stdout + done.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
