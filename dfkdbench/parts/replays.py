"""Built-in replay memories."""

from __future__ import annotations

from dfkdbench.recipe import Options
from dfkdbench.seams import Batch, Generator, Setting, Stateless, TargetOf


class NoReplay(Stateless):
    """Remembers nothing."""

    def __init__(self, options: Options, setting: Setting) -> None:
        pass

    def follow(self, generator: Generator) -> None:
        """Does nothing."""

    def generator_learned(self, steps: int) -> None:
        """Does nothing."""

    @property
    def nbytes(self) -> int:
        """Zero."""
        return 0

    def observe(self, batch: Batch, target_of: TargetOf) -> None:
        """Does nothing."""

    def sample(self, count: int, target_of: TargetOf) -> None:
        """None: there is nothing to replay."""
