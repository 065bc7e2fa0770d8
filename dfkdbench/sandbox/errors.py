"""The sandbox's own error: `dfkdbench.errors` needs click, which is not imported before the seal."""

from __future__ import annotations


class SandboxError(Exception):
    """The worker can't be sealed as asked; the message says what was given and what would do."""
