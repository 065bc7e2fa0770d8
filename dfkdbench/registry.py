"""Discovery of plugins, each on its own: one that fails is listed with its reason and stops nothing."""

from __future__ import annotations

import functools
import importlib.metadata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Generic, TypeVar

import pluggy

from dfkdbench import __version__, builtin, hookspecs
from dfkdbench.descriptors import (
    API,
    NEEDS,
    PRIORS,
    SIGNALS,
    TEACHER_ACCESS,
    Component,
    DatasetSpec,
    Kind,
    Method,
    ModelSpec,
)
from dfkdbench.errors import DfkdbenchError, nearest, unknown_name
from dfkdbench.executors.descriptor import ExecutorSpec

T = TypeVar("T")

CORE = "dfkdbench"

COMPONENT_KINDS: tuple[Kind, ...] = ("generator", "loss", "replay", "aggregator", "combiner")
PLURAL = {
    "generator": "generators",
    "loss": "losses",
    "replay": "replays",
    "aggregator": "aggregators",
    "combiner": "combiners",
    "method": "methods",
    "model": "models",
    "dataset": "datasets",
    "executor": "executors",
}
LIST_COMMANDS = {kind: f"dfkdbench list {plural}" for kind, plural in PLURAL.items()}

_COMPONENT_HOOKS = (
    "dfkdbench_generators",
    "dfkdbench_losses",
    "dfkdbench_replays",
    "dfkdbench_aggregators",
)
_KIND_OF_HOOK = {
    "dfkdbench_methods": Method,
    "dfkdbench_models": ModelSpec,
    "dfkdbench_datasets": DatasetSpec,
    "dfkdbench_executors": ExecutorSpec,
}
_PROVIDED = frozenset({"images_with_gradient", "labels", "network", "latents", "readout"})


@dataclass(frozen=True)
class Owned(Generic[T]):
    """A description together with the distribution and the plugin module that brought it."""

    item: T
    distribution: str
    distribution_version: str
    module: str


@dataclass
class PluginStatus:
    """What became of an installed plugin.

    Attributes:
        status: "ok" or "broken".
        reason: Why it is broken, in one line.
        parts: "kind name" of everything it brought.
    """

    name: str
    distribution: str
    version: str
    module: str
    api: int | None = None
    status: str = "ok"
    reason: str = ""
    parts: list[str] = field(default_factory=list)


class Shelf(Generic[T]):
    """Everything of one kind, by name. A name with two owners can only be used as `distribution:name`."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._owners: dict[str, list[Owned[T]]] = {}

    def add(self, name: str, owned: Owned[T]) -> None:
        """Puts an item under a name."""
        self._owners.setdefault(name, []).append(owned)

    def names(self) -> list[str]:
        """Every name, sorted; clashing ones qualified."""
        return sorted(name for name, _ in self.items())

    def items(self) -> Iterator[tuple[str, Owned[T]]]:
        """Usable name and item, clashing ones qualified."""
        for name, owners in self._owners.items():
            for owned in owners:
                yield (name if len(owners) == 1 else f"{owned.distribution}:{name}"), owned

    def get(self, name: str) -> Owned[T]:
        """The item of that name.

        Raises:
            UnknownNameError: Nothing has the name, or several have; the message names the owners.
        """
        distribution, _, short = name.rpartition(":")
        owners = self._owners.get(short, [])
        if distribution:
            owners = [owned for owned in owners if owned.distribution == distribution]
        if not owners:
            raise unknown_name(self.kind, name, self.names(), LIST_COMMANDS[self.kind])
        if len(owners) > 1:
            spellings = " or ".join(f"'{owned.distribution}:{short}'" for owned in owners)
            both = " and ".join(f"{owned.distribution} {owned.distribution_version}" for owned in owners)
            raise DfkdbenchError(f"The {self.kind} name '{short}' is claimed by {both}. Write {spellings}.")
        return owners[0]


class Registry:
    """All parts, methods, models, data sets and executors of the installed plugins.

    Args:
        entry_points: Where plugins come from; by default what is installed.
    """

    def __init__(self, entry_points: Iterable[importlib.metadata.EntryPoint] | None = None) -> None:
        self.manager = pluggy.PluginManager(hookspecs.PROJECT)
        self.manager.add_hookspecs(hookspecs)
        self.components: dict[str, Shelf[Component]] = {kind: Shelf(kind) for kind in COMPONENT_KINDS}
        self.methods: Shelf[Method] = Shelf("method")
        self.models: Shelf[ModelSpec] = Shelf("model")
        self.datasets: Shelf[DatasetSpec] = Shelf("dataset")
        self.executors: Shelf[ExecutorSpec] = Shelf("executor")
        self.plugins: list[PluginStatus] = []
        core = PluginStatus(CORE, CORE, __version__, builtin.__name__, api=API)
        self._admit(builtin, core)
        if core.status != "ok":
            raise RuntimeError(f"the built-in parts did not register: {core.reason}")
        if entry_points is None:
            entry_points = importlib.metadata.entry_points(group=hookspecs.ENTRY_POINT_GROUP)
        for entry_point in sorted(entry_points, key=lambda entry: (entry.name, entry.value)):
            self._load(entry_point)

    def _load(self, entry_point: importlib.metadata.EntryPoint) -> None:
        distribution = entry_point.dist.name if entry_point.dist else "unknown"
        version = entry_point.dist.version if entry_point.dist else ""
        status = PluginStatus(entry_point.name, distribution, version, entry_point.module)
        if distribution.lower() == CORE:  # whose code is trusted with more
            _mark_broken(status, "its distribution goes by the suite's own name")
            self.plugins.append(status)
            return
        try:
            module = entry_point.load()
        except (Exception, SystemExit) as error:  # a plugin's import may fail in any way; it must not stop the rest
            _mark_broken(status, f"import failed: {type(error).__name__}: {error}")
            self.plugins.append(status)
            return
        self._admit(module, status)

    def _admit(self, module: ModuleType, status: PluginStatus) -> None:
        """Registers a module, or says in its status why not."""
        self.plugins.append(status)
        status.api = getattr(module, "API", None)
        if status.api != API:
            _mark_broken(status, f"made for plugin API {status.api}, this is dfkdbench with plugin API {API}")
            return
        if self.manager.is_registered(module):
            _mark_broken(status, f"its module {status.module} is registered by another entry point already")
            return
        try:
            self.manager.register(module, name=f"{status.distribution}:{status.name}")
            self.manager.check_pending()
            brought = list(self._collect(module))
            _check_items(brought)
        except (Exception, SystemExit) as error:  # as above
            if self.manager.is_registered(module):
                self.manager.unregister(module)
            _mark_broken(status, f"registration failed: {type(error).__name__}: {error}")
            return
        for kind, item in brought:
            self._shelve(kind, item, Owned(item, status.distribution, status.version, status.module))
            status.parts.append(f"{kind} {item.name}")

    def _collect(self, module: ModuleType) -> Iterator[tuple[str, Any]]:
        """Kind and item of everything a registered module offers."""
        for hook in (*_COMPONENT_HOOKS, *_KIND_OF_HOOK):
            for implementation in getattr(self.manager.hook, hook).get_hookimpls():
                if implementation.plugin is not module:
                    continue
                expected = _KIND_OF_HOOK.get(hook, Component)
                offered = implementation.function()
                if not isinstance(offered, Iterable):
                    raise TypeError(f"{hook} must give several {expected.__name__}, not {type(offered).__name__}")
                for item in offered:
                    if not isinstance(item, expected):
                        raise TypeError(f"{hook} must give {expected.__name__}, not {type(item).__name__}")
                    yield _kind_of(item), item

    def _shelve(self, kind: str, item: Any, owned: Owned[Any]) -> None:
        shelf: Shelf[Any] = self.shelf(kind)
        shelf.add(item.name, owned)
        for alias in getattr(item, "aliases", ()):
            shelf.add(alias, owned)

    def shelf(self, kind: str) -> Shelf[Any]:
        """The shelf of a kind: a component kind, "method", "model", "dataset" or "executor"."""
        others: dict[str, Shelf[Any]] = {
            "method": self.methods,
            "model": self.models,
            "dataset": self.datasets,
            "executor": self.executors,
        }
        return others[kind] if kind in others else self.components[kind]

    def modules_of(self, distribution: str) -> list[Any]:
        """Registered plugin modules of a distribution."""
        return [
            self.manager.get_plugin(f"{status.distribution}:{status.name}")
            for status in self.plugins
            if status.distribution == distribution and status.status == "ok"
        ]


def _kind_of(item: Any) -> str:
    if isinstance(item, Component):
        return item.kind
    return {Method: "method", ModelSpec: "model", DatasetSpec: "dataset", ExecutorSpec: "executor"}[type(item)]


def _check_items(brought: Iterable[tuple[str, Any]]) -> None:
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


def _mark_broken(status: PluginStatus, reason: str) -> None:
    status.status = "broken"
    status.reason = " ".join(reason.split())[:500]


@functools.cache
def load_registry() -> Registry:
    """The registry of everything installed; discovered once per process."""
    return Registry()
