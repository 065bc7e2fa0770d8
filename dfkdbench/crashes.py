"""Remembers which plugin was being imported, so that one that ends the process is passed over the next time.

A crash (a segmentation fault, `os._exit`) can't be caught where it happens. While plugins are imported, a file named
after the process holds the name of the current one; where such a file outlives its process, that plugin ended it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_IMPORTING, _CRASHED = ".importing", ".crashed"


class CrashLog:
    """Files of one folder. Where that can't be written, nothing is remembered and nothing fails.

    Args:
        folder: Made when it is first needed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._own = folder / f"{os.getpid()}{_IMPORTING}"
        self._known = self._collect()

    def blames(self, plugin: str) -> bool:
        """Whether importing this plugin ended a process."""
        return plugin in self._known

    def forget(self) -> int:
        """Forgets every crash, so that all plugins are tried again; returns how many there were."""
        for path in self._folder.glob(f"*{_CRASHED}"):
            path.unlink(missing_ok=True)
        count, self._known = len(self._known), frozenset()
        return count

    @contextmanager
    def importing(self, plugin: str) -> Iterator[None]:
        """Holds the plugin's name while the block runs; only the end of the process leaves it behind."""
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._own.write_text(plugin, encoding="utf-8")
        try:
            yield
        finally:
            with suppress(OSError):
                self._own.unlink(missing_ok=True)

    def _collect(self) -> frozenset[str]:
        """The plugins to blame; files whose process is gone become lasting ones."""
        found = set()
        with suppress(OSError):
            for path in [*self._folder.glob(f"*{_IMPORTING}"), *self._folder.glob(f"*{_CRASHED}")]:
                if path.suffix == _IMPORTING and _is_running(int(path.stem)):
                    continue
                found.add(path.read_text(encoding="utf-8"))
                path.replace(path.with_suffix(_CRASHED))
        return frozenset(found)


def _is_running(process: int) -> bool:
    if process == os.getpid():
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
