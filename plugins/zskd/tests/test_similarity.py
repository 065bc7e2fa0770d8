from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from dfkdbench_zskd.similarity import class_similarity, concentrations, stretched


def weights_of(classes: int = 10, seed: int = 0) -> Tensor:
    return torch.randn(classes, 6, generator=torch.Generator().manual_seed(seed)) + 0.3


def test_class_similarity__equals_the_formula() -> None:
    weights = weights_of(4)
    rows = weights.double().tolist()
    for i, first in enumerate(rows):
        for j, second in enumerate(rows):
            dot = sum(a * b for a, b in zip(first, second, strict=True))
            expected = dot / (math.hypot(*first) * math.hypot(*second))
            assert class_similarity(weights)[i, j].item() == pytest.approx(expected, abs=1e-12)


def test_class_similarity__is_symmetric_with_unit_diagonal_and_blind_to_scale() -> None:
    weights = weights_of()
    similarity = class_similarity(weights)
    torch.testing.assert_close(similarity, similarity.T)
    torch.testing.assert_close(similarity.diagonal(), torch.ones(10, dtype=torch.float64), atol=1e-12, rtol=0)
    scaled = weights * torch.linspace(0.1, 20, 10)[:, None]
    torch.testing.assert_close(class_similarity(scaled), similarity, atol=1e-6, rtol=0)


def test_stretched__whole_matrix_lies_on_0_to_1_with_unit_diagonal() -> None:
    similarity = stretched(class_similarity(weights_of()))
    assert similarity.min() == 0
    assert similarity.max().item() == pytest.approx(1, abs=1e-12)
    torch.testing.assert_close(similarity.diagonal(), torch.ones(10, dtype=torch.float64), atol=1e-12, rtol=0)


@pytest.mark.parametrize("classes", [2, 10, 1000])
@pytest.mark.parametrize("kind", ["intended", "official"])
def test_concentrations__are_positive(classes: int, kind: str) -> None:
    alphas = concentrations(weights_of(classes), kind, 1e-4)  # type: ignore[arg-type]
    assert alphas.shape == (2, classes, classes)
    assert alphas.min() >= 1e-4
    assert alphas.isfinite().all()


def test_concentrations__intended_scales_differ_and_official_ones_do_not() -> None:
    weights = weights_of()
    intended = concentrations(weights, "intended", 1e-4)
    torch.testing.assert_close(intended[1] - 1e-4, 0.1 * (intended[0] - 1e-4))
    official = concentrations(weights, "official", 1e-4)
    torch.testing.assert_close(official[0], official[1])
    torch.testing.assert_close(official.amax(2), torch.full((2, 10), 1.0001, dtype=torch.float64))
    torch.testing.assert_close(official.amin(2), torch.full((2, 10), 0.0001, dtype=torch.float64))


# The first row of concentrations that the official code's stored CIFAR-10 matrix leads to.
OFFICIAL_ROW = (1.0, 0.118, 0.107, 1e-4, 0.111, 0.064, 0.063, 0.137, 0.211, 0.112)


def test_dirichlet__smaller_concentrations_give_sharper_targets() -> None:
    row = torch.tensor(OFFICIAL_ROW, dtype=torch.float64)
    sharpness = []
    for beta in (1.0, 0.1):
        torch.manual_seed(0)
        targets = torch.distributions.Dirichlet(beta * row + 1e-5).sample((20_000,))
        sharpness.append(targets.amax(1).mean().item())
    assert sharpness[0] == pytest.approx(0.66, abs=0.02)  # this row; over all rows of that matrix it is .72
    assert sharpness[1] == pytest.approx(0.94, abs=0.03)
