"""The program: `dfkdbench`, or `python -m dfkdbench`."""

from __future__ import annotations

from dfkdbench.cli import main as command_line
from dfkdbench.leaving import leave


def main() -> None:
    """Runs the command line and ends the process with its status."""
    try:
        command_line()
    except SystemExit as stop:
        if isinstance(stop.code, int | None):
            leave(stop.code or 0)
        raise


if __name__ == "__main__":
    main()
