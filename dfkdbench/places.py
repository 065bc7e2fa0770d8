"""Where the suite keeps what outlives a run."""

from __future__ import annotations

import os
from pathlib import Path


def home_folder() -> Path:
    """`$DFKDBENCH_HOME`, else `dfkdbench` in the user's cache folder."""
    home = os.environ.get("DFKDBENCH_HOME")
    if home:
        return Path(home).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "dfkdbench"


def data_folder() -> Path:
    """Data sets that were downloaded without a folder being named."""
    return home_folder() / "data"


def assets_folder() -> Path:
    """Data and teachers that come with the package."""
    return Path(__file__).resolve().parent / "assets"
