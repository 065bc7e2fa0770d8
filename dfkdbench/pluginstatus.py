"""What became of an installed plugin, and why."""

from __future__ import annotations

from dataclasses import dataclass, field

from dfkdbench import __version__
from dfkdbench.descriptors import API

SLOW_SECONDS = 1.0
"""An import that takes longer is remarked on: every command waits for it."""

CRASHED = "importing it ends the process; mend or remove it, then: dfkdbench plugin list --retry"
_SLOW = "slow: {:.1f} s to import; see what takes them with: python -X importtime -c 'import {}'"


@dataclass
class PluginStatus:
    """What became of an installed plugin.

    Attributes:
        status: "ok", "broken", "incompatible" (made for another API) or "crashed" (its import ends the process).
        reason: Why it is not ok, or what is amiss with it, in one line.
        parts: "kind name" of everything it brought.
        seconds: How long its import took.
    """

    name: str
    distribution: str
    version: str
    module: str
    api: int | None = None
    status: str = "ok"
    reason: str = ""
    parts: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def mark(self, what: str, reason: str) -> None:
        """Notes that it is not ok."""
        self.status, self.reason = what, " ".join(reason.split())[:500]

    def remark_on_slowness(self) -> None:
        """Notes an import that took long."""
        if self.seconds > SLOW_SECONDS:
            self.reason = _SLOW.format(self.seconds, self.module)


def other_api(api: object) -> str:
    """Why a plugin of another API, or of none, is not loaded."""
    told = f"made for plugin API {api}, this is dfkdbench {__version__} with plugin API {API}"
    if not isinstance(api, int):
        return f"{told}: its module says no API = {API}"
    return f"{told}: {'update dfkdbench' if api > API else 'look for a newer version of the plugin'}"
