"""The Fréchet distance of Gaussians, where it is known, and against the matrix square root."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor

from dfkdbench.figures.frechet import Gaussian, GaussianFit, fit_gaussian, frechet_distance


def draw(count: int, dimensions: int, seed: int) -> Tensor:
    return torch.randn(count, dimensions, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def gaussian(mean: list[float], covariance: Tensor) -> Gaussian:
    return Gaussian(torch.tensor(mean, dtype=torch.float64), covariance.double())


def spread_out(dimensions: int, seed: int) -> Gaussian:
    root = draw(dimensions, dimensions, seed)
    return Gaussian(draw(1, dimensions, seed + 100)[0], root @ root.T)


def test_fit_gaussian__is_mean_and_sample_covariance() -> None:
    features = draw(20, 3, 0).float()
    found = fit_gaussian(features)
    assert found.mean.dtype == found.covariance.dtype == torch.float64
    assert torch.allclose(found.mean, features.double().mean(0))
    assert torch.allclose(found.covariance, torch.cov(features.double().T))


@pytest.mark.parametrize("sizes", [(20,), (7, 13), (1, 1, 18)])
def test_gaussian_fit__does_not_depend_on_the_batches(sizes: tuple[int, ...]) -> None:
    features = 1e6 + draw(20, 3, 0)
    fit = GaussianFit()
    for batch in features.split(sizes):
        fit.add(batch)
    expected = fit_gaussian(features)
    torch.testing.assert_close(fit.gaussian().mean, expected.mean, rtol=1e-12, atol=0)
    torch.testing.assert_close(fit.gaussian().covariance, expected.covariance, rtol=1e-8, atol=0)


def test_gaussian_fit__takes_two_images() -> None:
    fit = GaussianFit()
    with pytest.raises(ValueError, match="two images or more, not 0"):
        fit.gaussian()


def test_frechet_distance__of_spheres_is_that_of_centres_and_radii() -> None:
    first, second = gaussian([0, 0, 0], 4 * torch.eye(3)), gaussian([1, 2, 2], 9 * torch.eye(3))
    assert frechet_distance(first, second) == pytest.approx(9 + 3 * (3 - 2) ** 2)


def test_frechet_distance__along_common_axes_is_a_sum_over_them() -> None:
    first = gaussian([1, 0], torch.diag(torch.tensor([4.0, 25.0])))
    second = gaussian([0, 0], torch.diag(torch.tensor([1.0, 0.0])))
    assert frechet_distance(first, second) == pytest.approx(1 + (2 - 1) ** 2 + (5 - 0) ** 2)


def test_frechet_distance__of_turned_ellipses() -> None:
    """diag(a, b) against diag(b, a): the root of the product is diag(sqrt(ab), sqrt(ab))."""
    first, second = torch.diag(torch.tensor([9.0, 1.0])), torch.diag(torch.tensor([1.0, 9.0]))
    assert frechet_distance(gaussian([0, 0], first), gaussian([0, 0], second)) == pytest.approx(20 - 2 * 6)
    angle = torch.tensor(0.7, dtype=torch.float64)
    turn = torch.stack([torch.stack([angle.cos(), -angle.sin()]), torch.stack([angle.sin(), angle.cos()])])
    turned = (turn @ matrix.double() @ turn.T for matrix in (first, second))
    assert frechet_distance(*(gaussian([0, 0], matrix) for matrix in turned)) == pytest.approx(8)


@pytest.mark.parametrize("seed", range(4))
def test_frechet_distance__agrees_with_the_root_of_the_product_where_that_is_stable(seed: int) -> None:
    first, second = spread_out(6, seed), spread_out(6, seed + 10)
    product = sqrtm(first.covariance.numpy() @ second.covariance.numpy())
    expected = float((first.mean - second.mean).square().sum())
    expected += float(first.covariance.trace() + second.covariance.trace()) - 2 * product.trace().real
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(second, first) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("count", "dimensions"), [(200, 5), (30, 64), (2, 64)])
def test_frechet_distance__to_itself_is_zero_also_with_fewer_images_than_features(count: int, dimensions: int) -> None:
    found = fit_gaussian(1000 * draw(count, dimensions, 3))
    assert frechet_distance(found, found) == pytest.approx(0, abs=1e-6 * float(found.covariance.trace()))


def test_frechet_distance__with_fewer_images_than_features_is_that_in_the_space_they_span() -> None:
    """Features that lie in 6 dimensions of 64 have the distance that they have in those 6."""
    first, second = draw(9, 6, 1), 2 * draw(7, 6, 2) + 1
    basis, _ = torch.linalg.qr(draw(64, 6, 3))
    inside = frechet_distance(fit_gaussian(first), fit_gaussian(second))
    outside = frechet_distance(fit_gaussian(first @ basis.T), fit_gaussian(second @ basis.T))
    assert outside == pytest.approx(inside, rel=1e-6)
    assert inside > 1


def test_frechet_distance__of_samples_approaches_that_of_their_distributions() -> None:
    first, second = draw(100_000, 4, 5), 2 * draw(100_000, 4, 6) + 0.5
    expected = 4 * 0.5**2 + 4 * (2 - 1) ** 2
    assert frechet_distance(fit_gaussian(first), fit_gaussian(second)) == pytest.approx(expected, rel=0.02)


def test_frechet_distance__of_points_is_that_of_their_places() -> None:
    places = [gaussian([0, 0], torch.zeros(2, 2)), gaussian([3, 4], torch.zeros(2, 2))]
    assert frechet_distance(*places) == pytest.approx(25)


def test_frechet_distance__is_never_below_zero_and_finite_for_features_of_any_size() -> None:
    for scale in (1e-12, 1.0, 1e12):
        features = scale * draw(10, 40, 8)
        found = frechet_distance(fit_gaussian(features), fit_gaussian(features * (1 + 1e-12)))
        assert math.isfinite(found)
        assert 0 <= found <= 1e-6 * scale**2
