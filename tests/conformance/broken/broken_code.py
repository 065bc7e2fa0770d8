"""What `broken_descriptions` describes."""

from __future__ import annotations

import random

import torch
from torch import nn
from torch.nn import functional as F

from dfkdbench.datasets.digits import load_digits
from dfkdbench.datasets.images import TensorImages
from dfkdbench.parts.generators.conv import ConvGenerator
from dfkdbench.parts.generators.noise import NoiseGenerator
from dfkdbench.parts.options import ConvOptions
from dfkdbench.parts.replays import NoReplay
from dfkdbench.seams import Batch, Stateless

__all__ = ["load_digits"]


class SixteenPixels(NoiseGenerator):
    """Noise of 16 x 16 pixels, whatever was asked for."""

    def __init__(self, options, setting):
        super().__init__(options, setting)
        self._shape = (setting.image_shape[0], 16, 16)


class Detached(ConvGenerator):
    """Images that are cut off from its network before the objective sees them."""

    def __init__(self, options, setting):
        super().__init__(ConvOptions(latent=8, channels=(8, 8, 8)), setting)

    def fit(self, objective, steps):
        for _ in range(steps):
            images = self.network(self.draw_latents(self._batch_size)).detach().requires_grad_()
            self.optimizer.zero_grad()
            torch.autograd.backward(objective(images))
            self.optimizer.step()


class Unseeded(NoiseGenerator):
    """Noise whose size Python's own generator decides."""

    def sample(self, count):
        return Batch(super().sample(count).images * (1 + random.random()))


class Forgetful(NoiseGenerator):
    """Noise that fades with every sample; how far it is, is in no state."""

    def __init__(self, options, setting):
        super().__init__(options, setting)
        self._samples = 0

    def sample(self, count):
        self._samples += 1
        return Batch(super().sample(count).images / self._samples**0.1)


class SeededByHash(NoiseGenerator):
    """Noise seeded by the hash of a text, which is another one in every process."""

    def __init__(self, options, setting):
        super().__init__(options, setting)
        self._rng = torch.Generator().manual_seed(hash("images") % 2**60)


class OddLabels(Detached):
    """Labels of shape (B, 1) for the objective, and right ones for the student."""

    def sample(self, count):
        return Batch(super().sample(count).images, torch.zeros(count, dtype=torch.int64))

    def fit(self, objective, steps):
        self.network.train()
        for _ in range(steps):
            images = self.network(self.draw_latents(self._batch_size))
            self.optimizer.zero_grad()
            torch.autograd.backward(objective(images, torch.zeros(len(images), 1, dtype=torch.int64)))
            self.optimizer.step()


class _KL(Stateless):
    def __init__(self, options, setting):
        pass

    def __call__(self, view):
        return F.kl_div(view.student.logits.log_softmax(1), view.teacher.logits.softmax(1), reduction="batchmean")


class Undocumented(_KL):
    pass


class Nosy(_KL):
    """Reads logits under another name."""


class DetachedLoss(_KL):
    """A loss that is a constant for the student."""

    def __call__(self, view):
        return super().__call__(view._replace(student=view.student.detach())) + 0 * view.student.logits.sum()


class Masking(_KL):
    """Indexes by a mask."""

    def __call__(self, view):
        sure = view.teacher.logits.softmax(1).max(1).values > 0.0
        return (view.student.logits[sure] - view.teacher.logits[sure]).abs().mean()


class _OneHot(Stateless):
    def __init__(self, options, setting):
        pass

    def __call__(self, view):
        logits = view.teacher.logits
        return F.cross_entropy(logits, logits.detach().argmax(1))


class Vandal(Stateless):
    """Writes into the running means that the signal shows."""

    def __init__(self, options, setting):
        pass

    def __call__(self, view):
        total = 0
        for statistics in view.teachers[0].batch_norm:
            statistics.running_mean.data.add_(0.01)
            total = total + statistics.mean.square().sum()
        return total


class Reading(_OneHot):
    """Branches on a value."""

    def __call__(self, view):
        loss = super().__call__(view)
        return loss if loss.item() > 0 else 2 * loss


class Printing(_OneHot):
    """Shows its value."""

    def __call__(self, view):
        loss = super().__call__(view)
        self._text = f"{loss}"
        return loss


class AskingAgain(_OneHot):
    """Asks the teacher about the images that it has the signal of."""

    def __call__(self, view):
        return super().__call__(view._replace(teacher=view.ask(view.images)))


class SetInState(NoReplay):
    """Remembers nothing, in a set."""

    def state_dict(self):
        return {"seen": set()}


class _Linear(nn.Module):
    def __init__(self, inputs, classes):
        super().__init__()
        self.layer = nn.Linear(inputs, classes)

    def forward(self, images, taps=None):
        return self.layer(images.flatten(1))


def linear_network(channels, classes, image_size):
    return _Linear(channels * image_size**2, classes)


def ten_classes(channels, classes, image_size):
    return _Linear(channels * image_size**2, 10)


def unseeded_network(channels, classes, image_size):
    network = linear_network(channels, classes, image_size)
    nn.init.constant_(network.layer.bias, random.random())
    return network


def load_shuffled(root, train, download):
    images = load_digits(root, train, download)
    order = list(range(len(images)))
    random.shuffle(order)
    return TensorImages(*images.take(torch.tensor(order)), images.classes, "shuffled")


def load_copied(root, train, download):
    return load_digits(root, True, download)
