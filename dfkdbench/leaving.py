"""The end of a process of the suite."""

from __future__ import annotations

import atexit
import os
import sys
from typing import NoReturn


def leave(status: int) -> NoReturn:
    """Ends this process at once, with a status.

    What was registered for the end is run and the streams are flushed. Taking some 1,500 modules apart object by object
    would take most of a second, for memory that the kernel takes back anyway.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)
