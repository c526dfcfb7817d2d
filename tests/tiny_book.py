"""A book of two or three tiny chapters in a checkout of its own: for the tests of the workflow."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from book.workflow.build import GATES

ROOT = Path(__file__).resolve().parents[1]
COPIED = (
    "pyproject.toml", "Snakefile", "_config.yml", "CITATION.cff",
    "medlib", "data", "book", "results",
)  # fmt: skip

TOLERANCES = "tolerances"

CHAPTER = """---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

# {title}

A tiny chapter.

```{{code-cell}}
:tags: [parameters]

profile = "cpu"
seed = 0
device = "auto"
```

```{{code-cell}}
{code}
```
"""


@dataclass
class TinyBook:
    """A checkout that holds the real workflow and made-up chapters."""

    root: Path
    timeout: float = 280.0  # seconds that a build may take

    def write(self, stem: str, code: str, title: str = "A chapter") -> None:
        """Write a chapter and list it in the table of contents."""
        text = CHAPTER.format(title=title, code=code)
        (self.root / "notebooks" / f"{stem}.md").write_text(text, encoding="utf-8")
        stems = sorted(path.stem for path in (self.root / "notebooks").glob("*.md"))
        entries = [{"file": f"notebooks/{name}"} for name in stems]
        fixed = [{"file": f"book/{name}"} for name in ("reproducibility", "status", TOLERANCES)]
        toc = {"format": "jb-book", "root": "book/index", "chapters": [*fixed, *entries]}
        (self.root / "_toc.yml").write_text(yaml.safe_dump(toc), encoding="utf-8")

    def build(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
        """Run the build in a process of its own and return what it printed."""
        return subprocess.run(
            [sys.executable, "-m", "book.workflow.build", "--profile", "fast", *arguments],
            cwd=self.root,
            env=self.env() | environment,
            capture_output=True,
            text=True,
            timeout=self.timeout,
        )

    def env(self) -> dict[str, str]:
        """Return the environment in which the checkout's own code is found, then other code."""
        known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        found = os.pathsep.join([str(self.root), *(path for path in known if path)])
        return os.environ | {"PYTHONPATH": found}

    def path(self, relative: str) -> Path:
        """Return a path below the build folder of profile fast."""
        return self.root / "_build" / "fast" / relative


@pytest.fixture
def tiny_book(tmp_path: Path) -> TinyBook:
    """Return a new checkout without chapters."""
    return new_book(tmp_path / "checkout")


def new_book(root: Path) -> TinyBook:
    """Copy what a build needs into a new folder, without the book's own chapters and prose."""
    root.mkdir()
    skip = shutil.ignore_patterns("__pycache__", "vendor", "*.csv", "locales")
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, root / name, ignore=skip)
        else:
            shutil.copy(ROOT / name, root / name)
    for page in (root / "book").glob("*.md"):
        page.unlink()
    (root / "book" / "index.md").write_text("# A tiny book\n\nNothing else.\n", encoding="utf-8")
    text = "# Tolerances\n\nThe report leads here.\n"
    (root / "book" / f"{TOLERANCES}.md").write_text(text, encoding="utf-8")
    (root / "book" / "claims.yml").write_text("[]\n", encoding="utf-8")
    (root / "notebooks").mkdir()
    # the gates judge the real book; made-up chapters would fail them, and the lock takes long
    for gate in GATES:
        (root / "book" / "workflow" / f"{gate}.py").write_text("", encoding="utf-8")
    return TinyBook(root)
