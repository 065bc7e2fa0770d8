"""Balance and diversity of images, against pairs looked at one by one."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from dfkdbench.figures.images import SpreadFit, class_balance, class_spread, diversity


def draw(count: int, seed: int, dimensions: int = 5) -> Tensor:
    return torch.randn(count, dimensions, generator=torch.Generator().manual_seed(seed))


def test_class_balance__is_the_entropy_of_the_shares() -> None:
    decisions = torch.tensor([0] * 5 + [1] * 3 + [2] * 2)
    entropy = -sum(share * math.log(share) for share in (0.5, 0.3, 0.2))
    assert class_balance(decisions, 4) == pytest.approx(entropy / math.log(4))


@pytest.mark.parametrize(
    ("decisions", "classes", "expected"),
    [
        ([0, 1, 2, 3] * 5, 4, 1.0),
        ([2] * 20, 4, 0.0),
        ([0, 1] * 10, 4, 0.5),
        ([5, 7, 9], 1000, 1.0),  # as even as three images can be
    ],
)
def test_class_balance__limits(decisions: list[int], classes: int, expected: float) -> None:
    assert class_balance(torch.tensor(decisions), classes) == pytest.approx(expected)


def test_class_spread__is_the_root_mean_square_over_all_pairs_of_a_class() -> None:
    features, decisions = draw(30, 0) + 100, torch.arange(30) % 3
    for found, members in zip(
        class_spread(features, decisions, 3), (features[decisions == c] for c in range(3)), strict=True
    ):
        pairs = [float((a - b).double().square().sum()) for a, b in itertools.combinations(members.double(), 2)]
        assert float(found) == pytest.approx(math.sqrt(sum(pairs) / len(pairs)), rel=1e-6)


@pytest.mark.parametrize("sizes", [(30,), (11, 19), (1, 1, 28)])
def test_spread_fit__does_not_depend_on_the_batches(sizes: tuple[int, ...]) -> None:
    features, decisions = draw(30, 0) + 1e4, torch.arange(30) % 4
    fit = SpreadFit(5)
    for batch, decided in zip(features.split(sizes), decisions.split(sizes), strict=True):
        fit.add(batch, decided)
    torch.testing.assert_close(fit.spread(), class_spread(features, decisions, 5), rtol=1e-9, atol=0, equal_nan=True)


def test_class_spread__needs_two_images() -> None:
    spread = class_spread(torch.tensor([[0.0, 0], [3, 4], [1, 1]]), torch.tensor([1, 1, 2]), 4)
    assert spread[1] == pytest.approx(5)
    assert spread.isnan().tolist() == [True, False, True, True]


def test_diversity__of_the_reference_itself_is_one_and_scales_with_the_features() -> None:
    features, decisions = draw(60, 1), torch.arange(60) % 4
    reference = class_spread(features, decisions, 4)
    assert diversity(features, decisions, reference) == pytest.approx(1)
    assert diversity(3 * features + 7, decisions, reference) == pytest.approx(3, rel=1e-5)


def test_diversity__every_image_counts_alike() -> None:
    features = torch.tensor([[0.0], [2.0], [0.0], [4.0], [0.0], [4.0]])  # spreads: 2 and, with four images, 3.27
    decisions = torch.tensor([0, 0, 1, 1, 1, 1])
    reference = torch.tensor([1.0, 2.0], dtype=torch.float64)
    spread = math.sqrt(4 * 16 / 6)
    assert diversity(features, decisions, reference) == pytest.approx((2 * 2 / 1 + 4 * spread / 2) / 6)


def test_diversity__copies_of_one_image_a_class_have_none() -> None:
    features, decisions = draw(4, 2).repeat(8, 1), torch.arange(4).repeat(8)
    assert diversity(features, decisions, torch.ones(4, dtype=torch.float64)) == pytest.approx(0, abs=1e-6)


def test_diversity__says_nothing_of_classes_that_one_side_lacks() -> None:
    features, decisions = draw(6, 3), torch.tensor([0, 0, 1, 1, 2, 3])
    spread = class_spread(features, decisions, 5)
    nan = math.nan
    reference = torch.tensor([1.0, nan, 1.0, 0.0, 1.0], dtype=torch.float64)
    assert diversity(features, decisions, reference) == pytest.approx(float(spread[0]))
    assert diversity(features, torch.arange(6) % 6, torch.ones(6, dtype=torch.float64)) is None
    assert diversity(features, decisions, torch.zeros(5, dtype=torch.float64)) is None
