"""What is checked: one thing that a plugin brought."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dfkdbench.errors import UnknownNameError, unknown_name
from dfkdbench.registry import COMPONENT_KINDS, KINDS, Owned, Registry


@dataclass(frozen=True)
class Subject:
    """A method, part, data set or model with its owner.

    Attributes:
        spelling: Its name as users write it: qualified where two distributions claim it.
        data_root: Folder with a data set's files.
    """

    kind: str
    spelling: str
    owned: Owned[Any]
    registry: Registry
    data_root: Path | None = None

    @property
    def item(self) -> Any:
        """Its description."""
        return self.owned.item

    @property
    def is_part(self) -> bool:
        """Whether it fits a slot of a recipe."""
        return self.kind in COMPONENT_KINDS

    def __str__(self) -> str:
        return f"{self.kind} {self.spelling}"


def find_subjects(registry: Registry, name: str, data_root: Path | None = None) -> list[Subject]:
    """Everything of a name, `distribution:name` included; or all that a distribution of that name brought.

    A family of models is left out there: only a member of it can be built.

    Raises:
        UnknownNameError: There is nothing of that name.
        DfkdbenchError: Two distributions claim the name.
    """
    found = [
        Subject(kind, spelling, owned, registry, data_root)
        for kind in KINDS
        for spelling, owned in registry.shelf(kind).items()
        if owned.distribution == name and spelling.rpartition(":")[2] == owned.item.name and "*" not in spelling
    ]
    try:
        named = [
            Subject(kind, _spelling(registry, kind, owned), owned, registry, data_root)
            for kind, owned in registry.find(name)
        ]
    except UnknownNameError:
        if not found:
            distributions = {status.distribution for status in registry.plugins}
            known = {entry for kind in KINDS for entry in registry.shelf(kind).names()} | distributions
            raise unknown_name(
                "plugin, method, part, model or data set", name, known, "dfkdbench plugin list"
            ) from None
        named = []
    return named or found


def _spelling(registry: Registry, kind: str, owned: Owned[Any]) -> str:
    """The name under which an item can be had; its own, not an alias."""
    qualified = f"{owned.distribution}:{owned.item.name}"
    return qualified if qualified in registry.shelf(kind).names() else str(owned.item.name)
