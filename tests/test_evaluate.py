from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dfkdbench.datasets.images import ImageSet, TensorImages, make_resident
from dfkdbench.errors import DataError
from dfkdbench.evaluate import agreement, evaluate, evaluate_each, fitting_batch, summarise

MEAN, STD = (0.3, 0.5), (0.2, 0.4)


class ConvNet(nn.Module):
    """With batch norm and dropout, so that train mode would change the answer."""

    def __init__(self, classes: int = 4) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(2, 8, 3)
        self.norm = nn.BatchNorm2d(8)
        self.drop = nn.Dropout(0.5)
        self.last = nn.Linear(8, classes)

    def forward(self, images: Tensor) -> Tensor:
        hidden: Tensor = self.drop(self.norm(self.conv(images)).relu().mean((2, 3)))
        logits: Tensor = self.last(hidden)
        return logits


class Fixed(nn.Module):
    """Gives rows of a table of logits, in order, whatever the images."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits
        self.place = 0

    def forward(self, images: Tensor) -> Tensor:
        rows = self.logits[self.place : self.place + len(images)]
        self.place += len(images)
        return rows


def make_set(count: int = 101, classes: int = 4) -> TensorImages:
    rng = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (count, 2, 6, 6), dtype=torch.uint8, generator=rng)
    return TensorImages(images, torch.randint(0, classes, (count,), generator=rng), classes)


def blank(labels: list[int], classes: int) -> TensorImages:
    return TensorImages(torch.zeros(len(labels), 2, 4, 4, dtype=torch.uint8), torch.tensor(labels), classes)


def test_evaluate__matches_a_plain_loop_in_float64() -> None:
    network, images = ConvNet(), make_set()
    result = evaluate(network, images, MEAN, STD, "cpu", batch_size=7)
    plain = ConvNet().double().eval()
    right = np.zeros(4)
    for pixels, label in zip(images.images, images.labels, strict=True):
        scaled = pixels.double() / 255
        normalised = torch.stack([(scaled[c] - MEAN[c]) / STD[c] for c in range(2)])
        right[label] += int(plain(normalised[None]).argmax() == label)
    totals = np.bincount(images.labels, minlength=4)
    assert (result.correct, result.total) == (right.sum(), 101)
    assert result.accuracy == pytest.approx(100 * right.sum() / 101)
    assert result.class_accuracies == pytest.approx(100 * right / totals)
    assert result.worst_class_accuracy == pytest.approx((100 * right / totals).min())
    assert result.worst_class == (right / totals).argmin()
    assert 0 < result.correct < 101


@pytest.mark.parametrize(("side", "expected"), [(16, 1000), (32, 1000), (64, 1000), (128, 256), (224, 83), (4096, 1)])
def test_fitting_batch__bounds_the_pixels_of_a_pass(side: int, expected: int) -> None:
    assert fitting_batch((3, side, side)) == expected


@pytest.mark.parametrize("batch_size", [1, 33, 1000])
def test_evaluate__does_not_depend_on_the_batch_size(batch_size: int) -> None:
    result = evaluate(ConvNet(), make_set(), MEAN, STD, "cpu", batch_size)
    expected = evaluate(ConvNet(), make_set(), MEAN, STD, "cpu")
    assert torch.equal(result.predictions, expected.predictions)
    assert result.calibration_error == pytest.approx(expected.calibration_error, abs=1e-4)


def test_evaluate_each__is_an_evaluation_of_every_output() -> None:
    network, images = ConvNet(), make_set()
    both = evaluate_each(
        network, lambda batch: (network(batch), -network(batch)), 2, images, MEAN, STD, "cpu", batch_size=40
    )
    assert both[0] == evaluate(network, images, MEAN, STD, "cpu", batch_size=40)
    assert both[1].accuracy != both[0].accuracy
    assert torch.equal(both[0].predictions, evaluate(network, images, MEAN, STD, "cpu").predictions)


def test_evaluate__leaves_the_network_as_it_was() -> None:
    network = ConvNet()
    network.train()
    network.norm.eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    torch.manual_seed(5)
    first = evaluate(network, make_set(), MEAN, STD, "cpu")
    drawn = torch.rand(1)
    assert network.training
    assert network.drop.training
    assert not network.norm.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert evaluate(network, make_set(), MEAN, STD, "cpu") == first
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(1))


def test_evaluate__restores_the_mode_after_a_failure() -> None:
    network = ConvNet()
    network.train()
    with pytest.raises(RuntimeError):
        evaluate(network, TensorImages(torch.zeros(1, 2, 1, 1, dtype=torch.uint8), torch.zeros(1), 4), MEAN, STD, "cpu")
    assert network.training


def test_evaluate__class_without_images_has_no_accuracy() -> None:
    logits = torch.eye(3)[[0, 0, 2, 2]]
    result = evaluate(Fixed(logits), blank([0, 2, 2, 2], 3), MEAN, STD, "cpu")
    assert result.class_accuracies == (100.0, None, 100 * 2 / 3)
    assert result.worst_class_accuracy == pytest.approx(200 / 3)
    assert result.worst_class == 2
    assert result.predictions.tolist() == [0, 0, 2, 2]


def test_evaluate__broken_logits_count_as_wrong() -> None:
    logits = torch.eye(2).repeat(3, 1) * 50
    logits[1, 1] = float("nan")
    logits[2, 0] = float("inf")
    result = evaluate(Fixed(logits), blank([0, 1, 0, 1, 0, 1], 2), MEAN, STD, "cpu", batch_size=4)
    assert (result.correct, result.non_finite) == (4, 2)
    assert result.predictions.tolist() == [0, -1, -1, 1, 0, 1]
    assert result.calibration_error == pytest.approx(0, abs=1e-6)


def test_evaluate__calibration_error_matches_a_plain_reference() -> None:
    rng = np.random.default_rng(2)
    confidences = np.concatenate([rng.uniform(0, 1, 500), [0.0, 1.0, 1 / 3, 0.2]]).astype(np.float32)
    in_even_bin = np.ceil(confidences * 15) % 2 == 0  # right too often in these, too seldom in the others
    hits = rng.uniform(size=504) < np.where(in_even_bin, confidences + 0.3, confidences - 0.3)
    edges = np.linspace(0, 1, 16)
    expected = 0.0
    for low, high in pairwise(edges):
        inside = (confidences > low) & (confidences <= high) if low else confidences <= high
        if inside.any():
            expected += inside.mean() * abs(hits[inside].mean() - confidences[inside].astype(np.float64).mean())
    labels = torch.zeros(504, dtype=torch.int64)
    predictions = torch.from_numpy(np.where(hits, 0, 1))
    result = summarise(predictions, torch.from_numpy(confidences), labels, 2)
    assert result.calibration_error == pytest.approx(100 * expected, abs=1e-5)
    assert result.calibration_error > 5


def test_agreement__counts_equal_finite_predictions() -> None:
    images = blank([0, 0, 0, 0], 2)
    first = evaluate(Fixed(torch.tensor([[1.0, 0], [0, 1], [1, 0], [float("nan"), 0]])), images, MEAN, STD, "cpu")
    second = evaluate(Fixed(torch.tensor([[2.0, 1], [0, 1], [0, 1], [float("nan"), 0]])), images, MEAN, STD, "cpu")
    assert agreement(first.predictions, second.predictions) == 50
    with pytest.raises(DataError, match="given 4 and 1 images"):
        agreement(first.predictions, second.predictions[:1])


def test_evaluate__refuses_what_does_not_fit() -> None:
    with pytest.raises(DataError, match=r"logits of shape \(101, 3\) for 101 images; the data set has 4 classes"):
        evaluate(ConvNet(classes=3), make_set(), MEAN, STD, "cpu")
    with pytest.raises(DataError, match="mean and a positive std per channel"):
        evaluate(ConvNet(), make_set(), MEAN[:1], STD, "cpu")


class Streamed:
    """A set that gives its batches from the CPU, as one read from files does."""

    def __init__(self, images: TensorImages) -> None:
        self.images = images
        self.classes, self.shape = images.classes, images.shape

    def __len__(self) -> int:
        return len(self.images)

    def take(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        return self.images.take(indices)

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        return self.images.batches(size)

    def fingerprint(self) -> str:
        return self.images.fingerprint()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("resident", [True, False])
def test_evaluate__on_a_device_gives_the_same(resident: bool) -> None:
    expected = evaluate(ConvNet(), make_set(), MEAN, STD, "cpu")
    images: ImageSet = make_resident(make_set(), "cuda") if resident else Streamed(make_set())
    result = evaluate(ConvNet().cuda(), images, MEAN, STD, "cuda", batch_size=10)
    assert result.correct == expected.correct
    assert agreement(result.predictions, expected.predictions) == 100


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_evaluate__reads_the_device_at_the_end_only() -> None:
    class Watched(nn.Module):
        """From its second batch on, lets any synchronisation raise."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = ConvNet()
            self.calls = 0

        def forward(self, images: Tensor) -> Tensor:
            self.calls += 1
            torch.cuda.set_sync_debug_mode("error" if 1 < self.calls < 11 else "default")
            logits: Tensor = self.inner(images)
            return logits

    network = Watched().cuda()
    try:
        evaluate(network, make_resident(make_set(110), "cuda"), MEAN, STD, "cuda", batch_size=10)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert network.calls == 11
