"""Run a command's main function with one-line errors instead of tracebacks."""

import errno
from collections.abc import Callable

from medlib.commands.common import say
from medlib.errors import MedlibError

FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
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
        say(f"{name}: {error}")
        return 2
    except OSError as error:
        if error.errno is None:  # no answer of the operating system: a bug
            raise
        say(f"{name}: {_of_the_system(error)}")
        return 2
    except KeyboardInterrupt:
        print(f"\n{name}: stopped by you; finished chapters are kept, run it again to go on")
        return 130


def _of_the_system(error: OSError) -> str:
    """Put what the operating system refused into a sentence with a remedy."""
    if error.errno in FULL_DISK:
        where = f" (while writing {error.filename})" if error.filename else ""
        return FULL.format(where=where)
    where = f" {error.filename}" if error.filename else ""
    return (
        f"cannot read or write{where}: {error.strerror}. Where the folder is read-only or another "
        "user's, copy the checkout to one of your own, or set MEDLIB_BUILD and MEDLIB_CACHE to "
        "folders that you may write to"
    )
