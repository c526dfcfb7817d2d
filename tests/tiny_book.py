"""A book of two or three tiny chapters in a checkout of its own: for the tests of the workflow."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
COPIED = (
    "pyproject.toml", "Snakefile", "_config.yml", "CITATION.cff",
    "medlib", "data", "book", "results",
)  # fmt: skip

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
        fixed = [{"file": f"book/{name}"} for name in ("reproducibility", "status")]
        toc = {"format": "jb-book", "root": "book/index", "chapters": [*fixed, *entries]}
        (self.root / "_toc.yml").write_text(yaml.safe_dump(toc), encoding="utf-8")

    def build(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
        """Run the build in a process of its own and return what it printed."""
        return subprocess.run(
            [sys.executable, "-m", "book.workflow.build", "--profile", "fast", *arguments],
            cwd=self.root,
            env=os.environ | {"PYTHONPATH": self.python_path} | environment,
            capture_output=True,
            text=True,
            timeout=self.timeout,
        )

    @property
    def python_path(self) -> str:
        """Where Python looks first: in this checkout, then where it looked before."""
        known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        return os.pathsep.join([str(self.root), *(path for path in known if path)])

    def path(self, relative: str) -> Path:
        """Return a path below the build folder of profile fast."""
        return self.root / "_build" / "fast" / relative


@pytest.fixture
def tiny_book(tmp_path: Path) -> TinyBook:
    """Copy what a build needs, without the book's own chapters and prose."""
    root = tmp_path / "checkout"
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
    (root / "book" / "claims.yml").write_text("[]\n", encoding="utf-8")
    (root / "notebooks").mkdir()
    # the gates judge the real book; made-up chapters would fail every one of them
    (root / "book" / "workflow" / "lint.py").write_text("", encoding="utf-8")
    return TinyBook(root)
