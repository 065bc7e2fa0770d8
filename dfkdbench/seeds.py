"""Seeds as users write them."""

from __future__ import annotations

from dfkdbench.errors import ConfigError


def parse_seeds(text: str) -> tuple[int, ...]:
    """Seeds from text such as `0`, `0-2` or `0,3,5-7`.

    Raises:
        ConfigError: Anything else.
    """
    seeds: list[int] = []
    try:
        for piece in text.split(","):
            first, _, last = piece.partition("-")
            seeds += range(int(first), int(last or first) + 1)
    except ValueError:
        seeds = []
    if not seeds or len(set(seeds)) != len(seeds):
        raise ConfigError(f"--seeds takes distinct seeds such as 0, 0-2 or 0,3,5-7; given '{text}'.")
    return tuple(seeds)
