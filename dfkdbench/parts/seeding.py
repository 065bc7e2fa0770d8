"""Initial weights from a random generator of one's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded_initialisation(rng: torch.Generator) -> Iterator[None]:
    """Modules built inside draw their framework-default weights from `rng`'s seed alone.

    The same weights come out on every device, since they are drawn on the CPU, and the global random
    state is left as it was. `rng` itself is not advanced: give it a role that nothing else draws from.
    """
    before = torch.default_generator.get_state()
    torch.default_generator.manual_seed(rng.initial_seed())
    try:
        yield
    finally:
        torch.default_generator.set_state(before)
