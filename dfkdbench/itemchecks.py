"""What the registry refuses of a plugin's descriptions before any is used."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dfkdbench.descriptors import NEEDS, PRIORS, SIGNALS, TEACHER_ACCESS, Component, Method, ModelSpec
from dfkdbench.errors import nearest

_PROVIDED = frozenset({"images_with_gradient", "labels", "network", "latents", "readout"})


def check_items(brought: Iterable[tuple[str, Any]]) -> None:
    """Refuses descriptions that would only fail, or be passed over, when they are used.

    Raises:
        ValueError: Two items of one name, a loss without a role, or an unknown need, signal or access.
    """
    seen: set[tuple[str, str]] = set()
    for kind, item in brought:
        for name in {item.name, *getattr(item, "aliases", ())}:
            if (kind, name) in seen:
                raise ValueError(f"the {kind} name '{name}' is given twice")
            seen.add((kind, name))
        if kind == "loss" and item.role not in ("image", "student"):
            raise ValueError(f"the loss '{item.name}' must have the role 'image' or 'student', not {item.role!r}")
        if isinstance(item, Component):
            _check_names(item, "needs", item.needs, NEEDS)
            _check_names(item, "provides", item.provides, _PROVIDED)
        elif isinstance(item, Method):
            _check_names(item, "access", item.access, frozenset((*TEACHER_ACCESS, *PRIORS)))
        elif isinstance(item, ModelSpec):
            _check_names(item, "signals", item.signals, frozenset(SIGNALS))


def _check_names(item: Component | Method | ModelSpec, what: str, given: frozenset[str], known: frozenset[str]) -> None:
    for name in sorted(given - known):
        raise ValueError(
            f"'{item.name}' has the unknown name '{name}' in {what}.{nearest(name, known)} "
            f"There are: {', '.join(sorted(known))}"
        )
