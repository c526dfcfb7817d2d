"""Run a command's main function with one-line errors instead of tracebacks."""

import errno
import sys
from collections.abc import Callable

from medlib.errors import MedlibError

FULL = "the disk is full{where}: free some space and run it again; finished chapters are kept"


def plainly(name: str, main: Callable[[], int]) -> int:
    """Call `main` and turn the errors that a reader can mend into a sentence and an exit code.

    Returns
    -------
    int
        What `main` returned; 2 for an explained error, 130 after Ctrl-C.
    """
    try:
        return main()
    except MedlibError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        where = f" (while writing {error.filename})" if error.filename else ""
        print(f"{name}: {FULL.format(where=where)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\n{name}: stopped by you; finished chapters are kept, run it again to go on")
        return 130
