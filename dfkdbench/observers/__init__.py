"""Observers that come with the suite; each is chosen with `run --observer NAME[:PLACE]`."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

import pluggy

from dfkdbench.errors import unknown_name


class Observer(Protocol):
    """An object that implements some of the observer hooks."""

    def close(self) -> None:
        """Writes what is left."""
        ...


class ObserverChoice(NamedTuple):
    """Where an observer's class is ("package.module:Class", called with the place), and its place by default."""

    target: str
    place: str


OBSERVERS = {
    "jsonl": ObserverChoice("dfkdbench.observers.jsonl:JsonLines", "dfkdbench.jsonl"),
    "tensorboard": ObserverChoice("dfkdbench.observers.tensorboard:TensorBoard", "tensorboard"),
}


def open_observer(text: str) -> Observer:
    """The observer that `NAME` or `NAME:PLACE` asks for.

    Raises:
        UnknownNameError: There is none of that name.
        ConfigError: It can't write there, or its package is not installed.
    """
    name, _, place = text.partition(":")
    if name not in OBSERVERS:
        raise unknown_name("observer", name, OBSERVERS, "dfkdbench run --help")
    choice = OBSERVERS[name]
    module, _, attribute = choice.target.partition(":")
    observer: Observer = getattr(importlib.import_module(module), attribute)(Path(place or choice.place))
    return observer


@contextmanager
def observing(manager: pluggy.PluginManager, texts: Sequence[str]) -> Iterator[None]:
    """Has the observers called inside the block."""
    opened: list[Observer] = []
    try:
        for text in dict.fromkeys(texts):
            opened.append(open_observer(text))
            manager.register(opened[-1], name=f"observer {text}")
        yield
    finally:
        for observer in opened:
            manager.unregister(observer)
            observer.close()
