"""Finds out which plugin ends the process that imports it, so that it is passed over from then on.

A crash (a segmentation fault, `os._exit`) can't be caught where it happens. While plugins are imported, a file named
after the process holds the name of the current one. Where such a file outlives its process, that plugin is under
suspicion, for the process may have been killed from outside: the next start imports it in a process apart and sees.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_IMPORTING, _CRASHED = ".importing", ".crashed"
_PATIENCE_SECONDS = 60
_TRIAL = """
import importlib, sys
try:
    importlib.import_module(sys.argv[1])
except BaseException:
    pass
sys.stdout.write("survived")
sys.stdout.flush()
"""


class CrashLog:
    """Files of one folder. Where that can't be written, nothing is remembered and nothing fails.

    Args:
        folder: Made when it is first needed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._own = folder / f"{os.getpid()}{_IMPORTING}"
        self._crashed = self._named_in(_CRASHED)
        self._suspects = {
            plugin: path
            for plugin, path in self._named_in(_IMPORTING).items()
            if path.stem.isdecimal() and not _is_running(int(path.stem))
        }

    def blames(self, plugin: str, module: str) -> bool:
        """Whether importing a plugin's module ends the process. One under suspicion is tried now, in one apart."""
        suspected = self._suspects.pop(plugin, None)
        if suspected is not None:
            with suppress(OSError):
                if _survives(module):
                    suspected.unlink(missing_ok=True)
                else:
                    self._crashed[plugin] = suspected.replace(suspected.with_suffix(_CRASHED))
        return plugin in self._crashed

    def forget(self) -> int:
        """Forgets every crash, so that all plugins are imported again; returns how many there were."""
        for path in (*self._folder.glob(f"*{_CRASHED}"), *self._suspects.values()):
            path.unlink(missing_ok=True)
        count = len(self._crashed)
        self._crashed, self._suspects = {}, {}
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

    def _named_in(self, suffix: str) -> dict[str, Path]:
        """Plugin -> the file of that suffix that names it."""
        found = {}
        with suppress(OSError):
            for path in sorted(self._folder.glob(f"*{suffix}")):
                found[path.read_text(encoding="utf-8")] = path
        return found


def _survives(module: str) -> bool:
    """Whether a process that imports a module goes on, whatever the import raises. One that hangs is no crash."""
    try:
        tried = subprocess.run(
            [sys.executable, "-P", "-c", _TRIAL, module],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return True
    return tried.stdout.endswith(b"survived")


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
