"""``python -m medlib``: the command ``medlib``, where its script is not on the path."""

import sys

from medlib.cli import main

if __name__ == "__main__":
    sys.exit(main())
