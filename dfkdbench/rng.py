"""Randomness by role: each role has a generator of its own, seeded by hashing names.

Adding a part, a loss or a teacher therefore moves nobody else's randomness.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from typing import Any

import torch


def derive_seed(*names: object) -> int:
    """A seed in [0, 2**63) from names and numbers."""
    digest = hashlib.sha256("\x1f".join(str(name) for name in names).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


@contextlib.contextmanager
def seeded_initialisation(seed: int) -> Iterator[None]:
    """Seeds the framework's global generator on the CPU for the block, and puts it back afterwards.

    Modules are initialised inside it and moved to the device later, so that every device starts
    from the same weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


class RandomStreams:
    """One random generator per role on a device, with all states in checkpoints."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self._seed = seed
        self._device = device
        self._streams: dict[str, torch.Generator] = {}

    def __call__(self, role: str) -> torch.Generator:
        """The generator of a role; the same object each time."""
        if role not in self._streams:
            stream = torch.Generator(device=self._device)
            stream.manual_seed(derive_seed(self._seed, role))
            self._streams[role] = stream
        return self._streams[role]

    def generators(self) -> list[torch.Generator]:
        """Those of every role so far."""
        return list(self._streams.values())

    def state_dict(self) -> dict[str, Any]:
        """State of every role's generator."""
        return {role: stream.get_state() for role, stream in self._streams.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Puts every role's generator where it was."""
        for role, value in state.items():
            self(role).set_state(value)


class OwnGlobals:
    """The framework's own generators as one of several runs in a process sees them, from their present state on."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._state = self._read()
        self._inside = False

    @contextlib.contextmanager
    def in_force(self) -> Iterator[None]:
        """For the block; what was there before is there again afterwards."""
        if self._inside:
            yield
            return
        before = self._read()
        self._write(self._state)
        self._inside = True
        try:
            yield
        finally:
            self._inside = False
            self._state = self._read()
            self._write(before)

    def _read(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        accelerated = self._device.type == "cuda"
        return torch.get_rng_state(), torch.cuda.get_rng_state(self._device) if accelerated else None

    def _write(self, state: tuple[torch.Tensor, torch.Tensor | None]) -> None:
        host, accelerator = state
        torch.set_rng_state(host)
        if accelerator is not None:
            torch.cuda.set_rng_state(accelerator, self._device)
