"""The sealed worker of several runs: `python -P -m dfkdbench.together RUN_FOLDER...`, started by the judge.

As `dfkdbench.worker`, with one seal for all. The folders hold runs of one plan but for the seed, started alike.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from dfkdbench.leaving import leave
from dfkdbench.worker import close_off


def main(roots: Sequence[Path]) -> int:
    """Seals this process and runs the plans of run folders; returns the exit code."""
    launch, _in_force = close_off(roots[0])
    from dfkdbench.launch import Launch
    from dfkdbench.lockstep import run_together

    return run_together(roots, Launch.model_validate(launch))


if __name__ == "__main__":
    leave(main([Path(root) for root in sys.argv[1:]]))
