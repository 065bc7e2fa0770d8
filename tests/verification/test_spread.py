"""The claimed spread over seeds, and what counts as a seed of the same claim."""

from __future__ import annotations

import pytest

from dfkdbench.verification.spread import FEWEST_POINTS, POINTS_OF_ONE_SEED, predict


def test_predict__is_students_prediction_interval() -> None:
    claim = predict({0: 94.0, 1: 95.0, 2: 96.0})
    half = 4.302653 * 1.0 * (1 + 1 / 3) ** 0.5  # t(0.975, 2), standard deviation 1
    assert (claim.low, claim.high) == pytest.approx((95 - half, 95 + half))
    assert "95 % prediction interval of 3 seeds: 0, 1, 2" in str(claim)


def test_predict__one_seed_claims_no_spread() -> None:
    claim = predict({4: 90.0})
    assert (claim.low, claim.high) == (90 - POINTS_OF_ONE_SEED, 90 + POINTS_OF_ONE_SEED)
    assert "one seed claims no spread: a tolerance of 5.0 points" in str(claim)


def test_predict__seeds_that_agree_by_chance_keep_a_least_width() -> None:
    claim = predict({0: 90.0, 1: 90.0})
    assert (claim.low, claim.high) == (90 - FEWEST_POINTS, 90 + FEWEST_POINTS)
