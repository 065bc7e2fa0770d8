"""`python -P -m dfkdbench.executors.child PARENT ARGUMENTS...`: the command line, in a process that dies with PARENT.

So no command is left behind, holding the lock of its run, when the process that watches it is killed.
"""

from __future__ import annotations

import sys

from dfkdbench.cli import main as command_line
from dfkdbench.sandbox import die_with_parent

if __name__ == "__main__":
    die_with_parent(int(sys.argv[1]))
    command_line(sys.argv[2:], prog_name="dfkdbench")
