"""`python -m dfkdbench`."""

from dfkdbench.cli import main

main()
