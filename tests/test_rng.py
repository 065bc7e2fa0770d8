from __future__ import annotations

import torch
from torch import nn

from dfkdbench.rng import seeded_initialisation


def weights(seed: int) -> torch.Tensor:
    with seeded_initialisation(seed):
        return nn.Linear(3, 4).weight.detach()


def test_seeded_initialisation__depends_on_the_seed_alone() -> None:
    first = weights(1)
    torch.rand(5)
    assert torch.equal(first, weights(1))
    assert not torch.equal(first, weights(2))


def test_seeded_initialisation__leaves_the_global_state_alone() -> None:
    before = torch.random.get_rng_state()
    weights(1)
    assert torch.equal(before, torch.random.get_rng_state())
