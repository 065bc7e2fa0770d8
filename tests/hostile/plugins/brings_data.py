"""Trains on labelled real images that some installed package carries."""

from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import cross_entropy, interpolate


def in_its_own_package(loop):
    _train_on(loop, Path(__file__).with_name("images.npz"))


def in_another_package(loop):
    _train_on(loop, Path(loop.facts["site"], "collection", "images.npz"))


def _train_on(loop, path):
    with np.load(path) as arrays:
        levels, labels = torch.from_numpy(arrays["train_images"]), torch.from_numpy(arrays["train_labels"]).long()
    like = loop.parts.generator.sample(1).images
    images = interpolate(levels.unsqueeze(1).float() / 8 - 1, like.shape[-2:], mode="bilinear")

    def teach():
        chosen = torch.randint(0, len(labels), (loop.parts.batch_size,))
        with loop.parts.meter.student_step():
            loss = cross_entropy(loop.parts.student(images[chosen]), labels[chosen])
            loop.parts.student_stepper.zero_grad()
            loss.backward()
            loop.parts.student_stepper.step()

    loop.teach = teach
