"""Expected calibration error, against a plain reference in float64 and where it is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dfkdbench.figures.calibration import BINS, calibration_error


def reference(confidences: np.ndarray, hits: np.ndarray) -> float:
    """Image by image, in float64."""
    error = 0.0
    for index in range(BINS):
        low, high = index / BINS, (index + 1) / BINS
        inside = [(low < value <= high) or (index == 0 and value == 0) for value in confidences]
        if any(inside):
            error += sum(inside) / len(confidences) * abs(hits[inside].mean() - confidences[inside].mean())
    return 100 * error


@pytest.mark.parametrize("seed", range(5))
def test_calibration_error__is_the_formula(seed: int) -> None:
    rng = np.random.default_rng(seed)
    confidences = np.concatenate([rng.uniform(0, 1, 300), [0.0, 1.0]])
    hits = rng.uniform(size=302) < confidences**2
    found = calibration_error(torch.from_numpy(confidences), torch.from_numpy(hits))
    assert found == pytest.approx(reference(confidences, hits), abs=1e-9)
    assert found > 5


@pytest.mark.parametrize(
    ("confidence", "share", "expected"),
    [(1.0, 1.0, 0.0), (1.0, 0.0, 100.0), (0.0, 0.0, 0.0), (0.75, 0.75, 0.0), (0.5, 1.0, 50.0), (0.1, 0.1, 0.0)],
)
def test_calibration_error__limits(confidence: float, share: float, expected: float) -> None:
    hits = torch.arange(1000) < 1000 * share
    confidences = torch.full((1000,), confidence, dtype=torch.float64)
    assert calibration_error(confidences, hits) == pytest.approx(expected, abs=1e-9)


def test_calibration_error__errors_of_two_bins_do_not_cancel_and_those_within_one_do() -> None:
    hits = torch.tensor([True, False])
    assert calibration_error(torch.tensor([0.3, 0.9]), hits) == pytest.approx(80, abs=1e-4)
    assert calibration_error(torch.tensor([0.5, 0.5]), hits) == pytest.approx(0, abs=1e-4)


def test_calibration_error__of_a_calibrated_network_falls_with_the_number_of_images() -> None:
    rng = torch.Generator().manual_seed(1)

    def mean_error(images: int) -> float:
        errors = []
        for _ in range(50):
            confidences = 1 - 0.5 * torch.rand(images, generator=rng, dtype=torch.float64) ** 4
            hits = torch.rand(images, generator=rng, dtype=torch.float64) < confidences
            errors.append(calibration_error(confidences, hits))
        return sum(errors) / len(errors)

    assert mean_error(500) == pytest.approx(2.6, abs=0.3)
    assert mean_error(10_000) == pytest.approx(0.6, abs=0.1)


def test_calibration_error__an_edge_belongs_to_the_bin_below() -> None:
    edge = 3 / 15  # exact in neither type; the next bin starts above it
    hits = torch.tensor([True, False])
    together = calibration_error(torch.tensor([edge, edge - 0.01], dtype=torch.float64), hits)
    apart = calibration_error(torch.tensor([edge, edge + 0.01], dtype=torch.float64), hits)
    assert together == pytest.approx(100 * abs(1 - 2 * edge + 0.01) / 2)
    assert apart == pytest.approx(100 * (1 - edge + edge + 0.01) / 2)
