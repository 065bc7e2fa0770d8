"""Discovery of plugins, each on its own: one that fails is listed with its reason and stops nothing."""

from __future__ import annotations

import functools
import importlib.metadata
import time
from collections.abc import Iterable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, Generic, TypeVar

import pluggy

from dfkdbench import __version__, builtin, hookspecs
from dfkdbench.commands import Command
from dfkdbench.crashes import CrashLog
from dfkdbench.descriptors import API, Component, DatasetSpec, Kind, Method, ModelSpec
from dfkdbench.errors import DfkdbenchError, UnknownNameError, unknown_name
from dfkdbench.executors.descriptor import ExecutorSpec
from dfkdbench.offers import check_items, refuse_core_commands
from dfkdbench.places import home_folder
from dfkdbench.pluginstatus import CRASHED, PluginStatus, other_api

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
    "command": "commands",
    "executor": "executors",
}
KINDS = ("method", *COMPONENT_KINDS, "dataset", "model", "executor")
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
    "dfkdbench_commands": Command,
    "dfkdbench_executors": ExecutorSpec,
}
_KIND_OF_ITEM = {
    Method: "method",
    ModelSpec: "model",
    DatasetSpec: "dataset",
    Command: "command",
    ExecutorSpec: "executor",
}


@dataclass(frozen=True)
class Owned(Generic[T]):
    """A description together with the distribution and the plugin module that brought it."""

    item: T
    distribution: str
    distribution_version: str
    module: str


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


class ModelShelf(Shelf[ModelSpec]):
    """Architectures; of a family `x.*`, also every `x.name`."""

    def get(self, name: str) -> Owned[ModelSpec]:
        """The architecture of that name; whether a family has such a member is seen when it is built."""
        family, dot, member = name.partition(".")
        known = self.names()
        if not dot or name in known or f"{family.rpartition(':')[2]}.*" not in known:
            return super().get(name)
        owned = super().get(f"{family}.*")
        spec = replace(
            owned.item, name=owned.item.name.replace("*", member), target=owned.item.target.replace("*", member)
        )
        return replace(owned, item=spec)


class Registry:
    """All parts, methods, models, data sets, commands and executors of the installed plugins.

    Args:
        entry_points: Where plugins come from; by default what is installed.
        crashes: Which plugins end the process that imports them; these are passed over.
    """

    def __init__(
        self, entry_points: Iterable[importlib.metadata.EntryPoint] | None = None, crashes: CrashLog | None = None
    ) -> None:
        self._crashes = crashes
        self.manager = pluggy.PluginManager(hookspecs.PROJECT)
        self.manager.add_hookspecs(hookspecs)
        self.components: dict[str, Shelf[Component]] = {kind: Shelf(kind) for kind in COMPONENT_KINDS}
        self.methods: Shelf[Method] = Shelf("method")
        self.models = ModelShelf("model")
        self.datasets: Shelf[DatasetSpec] = Shelf("dataset")
        self.commands: Shelf[Command] = Shelf("command")
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
        if distribution.lower() == CORE and not status.module.startswith(f"{CORE}."):  # its code is trusted with more
            status.mark("broken", "its distribution goes by the suite's own name")
            self.plugins.append(status)
            return
        identity = f"{distribution} {version} {entry_point.value}"
        if self._crashes is not None and self._crashes.blames(identity, entry_point.module):
            status.mark("crashed", CRASHED)
            self.plugins.append(status)
            return
        began = time.perf_counter()
        try:
            with self._crashes.importing(identity) if self._crashes is not None else nullcontext():
                module = entry_point.load()
        except (Exception, SystemExit) as error:  # a plugin's import may fail in any way; it must not stop the rest
            status.mark("broken", f"import failed: {type(error).__name__}: {error}")
            self.plugins.append(status)
            return
        finally:
            status.seconds = time.perf_counter() - began
        status.remark_on_slowness()
        self._admit(module, status)

    def _admit(self, module: ModuleType, status: PluginStatus) -> None:
        """Registers a module, or says in its status why not."""
        self.plugins.append(status)
        status.api = getattr(module, "API", None)
        if status.api != API:
            status.mark("incompatible", other_api(status.api))
            return
        if self.manager.is_registered(module):
            status.mark("broken", f"its module {status.module} is registered by another entry point already")
            return
        try:
            self.manager.register(module, name=f"{status.distribution}:{status.name}")
            self.manager.check_pending()
            brought = list(self._collect(module))
            check_items(brought)
            if module is not builtin:
                refuse_core_commands(brought)
        except (Exception, SystemExit) as error:  # as above
            if self.manager.is_registered(module):
                self.manager.unregister(module)
            status.mark("broken", f"registration failed: {type(error).__name__}: {error}")
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
        """The shelf of a kind: a component kind, "method", "model", "dataset", "command" or "executor"."""
        others: dict[str, Shelf[Any]] = {
            "method": self.methods,
            "model": self.models,
            "dataset": self.datasets,
            "command": self.commands,
            "executor": self.executors,
        }
        return others[kind] if kind in others else self.components[kind]

    def find(self, name: str) -> list[tuple[str, Owned[Any]]]:
        """Kind and item of everything of a name, methods first.

        Raises:
            UnknownNameError: There is nothing.
            DfkdbenchError: Two distributions claim the name.
        """
        found: list[tuple[str, Owned[Any]]] = []
        for kind in KINDS:
            with suppress(UnknownNameError):
                found.append((kind, self.shelf(kind).get(name)))
        if not found:
            known = {entry for kind in KINDS for entry in self.shelf(kind).names()}
            raise unknown_name("name", name, known, "dfkdbench list")
        return found

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
    return _KIND_OF_ITEM[type(item)]


@functools.cache
def load_registry() -> Registry:
    """The registry of everything installed; discovered once per process."""
    return Registry(crashes=crash_log())


def crash_log() -> CrashLog:
    """The crashes that this user's plugins caused."""
    return CrashLog(home_folder() / "plugins")
