"""Errors that are the user's to mend: one clear message, no traceback, a non-zero exit."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import click


class DfkdbenchError(click.ClickException):
    """A mistake in what was asked for. Printed without a traceback; exit code 2."""

    exit_code = 2


class UnknownNameError(DfkdbenchError):
    """A name that nothing is registered under."""


class ConfigError(DfkdbenchError):
    """A key or a value that a component or recipe does not take."""


class PlanError(DfkdbenchError):
    """Parts that can't work together, refused before anything runs."""


class AccessError(DfkdbenchError):
    """Something of the teacher that the run's access does not contain. Ends a run as failed, with this message."""


class DataError(DfkdbenchError):
    """A data set whose files are missing or damaged."""


class ComparisonError(DfkdbenchError):
    """A comparison that the records at hand do not allow."""


class IntegrityError(DfkdbenchError):
    """A file that is not what its hash, format or schema says."""


class RunError(DfkdbenchError):
    """A run that could not start or go on; its folder is left so that it can resume."""

    exit_code = 1


class BusyError(RunError):
    """Something that another process works on at this moment. Exit code 3, so that who starts many runs can tell."""

    exit_code = 3


def unknown_name(kind: str, given: str, known: Iterable[str], command: str) -> UnknownNameError:
    """Says what was given, what there is, the nearest match and the command that lists the choices."""
    return UnknownNameError(f"Unknown {kind} '{given}'.{nearest(given, known)} {choices(known, command)}")


def nearest(given: str, known: Iterable[str]) -> str:
    """A sentence with the nearest of the known names, or nothing where none is near."""
    match = difflib.get_close_matches(given, list(known), n=1, cutoff=0.5)
    return f" Did you mean '{match[0]}'?" if match else ""


def choices(known: Iterable[str], command: str) -> str:
    """A sentence with the first known names and the command that lists them all."""
    names = sorted(known)
    shown = ", ".join(names[:20]) + (f", ... ({len(names)} in all)" if len(names) > 20 else "")
    return f"There {'is' if len(names) == 1 else 'are'}: {shown or 'none'}. List them with: {command}"
