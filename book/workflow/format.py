"""Format the code cells of chapters with ruff, at the width that a page shows without scrolling."""

import re
import subprocess
import sys
from pathlib import Path

WIDTH = 76
CELL = re.compile(
    r"(?P<open>^```\{code-cell\}[^\n]*\n(?:---\n.*?\n---\n|(?::[\w-]+:[^\n]*\n)*\n?))"
    r"(?P<code>.*?)(?P<close>^```$)",
    flags=re.DOTALL | re.MULTILINE,
)


def formatted(text: str) -> str:
    """Return a chapter's source with its code cells formatted; all else stays to the byte."""
    return CELL.sub(lambda m: m["open"] + format_code(m["code"]) + m["close"], text)


def format_code(code: str) -> str:
    """Return one cell's code as ruff formats it; a final semicolon, which hides output, stays."""
    hidden = code.rstrip().endswith(";")
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--line-length", str(WIDTH), "-"],
        input=code,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.rstrip("\n") + (";\n" if hidden else "\n")


def main() -> int:
    """Format the chapters named on the command line; with --check, only say which would change."""
    check = "--check" in sys.argv
    changed = []
    for path in [Path(name) for name in sys.argv[1:] if name != "--check"]:
        before = path.read_text(encoding="utf-8")
        after = formatted(before)
        if after != before:
            changed.append(path)
            if not check:
                path.write_text(after, encoding="utf-8")
    for path in changed:
        print(f"{path}: {'would be' if check else 'was'} formatted")
    return 1 if check and changed else 0


if __name__ == "__main__":
    sys.exit(main())
