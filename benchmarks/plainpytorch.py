"""Training rounds written out in plain PyTorch, as papers' code writes them: the measure of the standard loop's speed.

Upsampling is an operation of its own, everything is float32 in the framework's default layout, optimisers are the
framework's defaults, and teachers are in eval mode with their weights left in the graph. Written from the papers'
equations.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dfkdbench.signals import read_signal

Round = Callable[[], None]


def plain_generator(latent: int, channels: tuple[int, int, int], image: tuple[int, int, int]) -> nn.Module:
    """The generator of Chen et al. (2019): linear, batch norm, two upsampled convolutions, tanh, batch norm."""
    colours, height, width = image
    stem, middle, last = channels
    side = (height // 4, width // 4)
    return nn.Sequential(
        nn.Linear(latent, stem * side[0] * side[1]),
        nn.Unflatten(1, (stem, *side)),
        nn.BatchNorm2d(stem),
        nn.Upsample(scale_factor=2),
        nn.Conv2d(stem, middle, 3, padding=1),
        nn.BatchNorm2d(middle, 0.8),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Upsample(scale_factor=2),
        nn.Conv2d(middle, last, 3, padding=1),
        nn.BatchNorm2d(last, 0.8),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(last, colours, 3, padding=1),
        nn.Tanh(),
        nn.BatchNorm2d(colours, affine=False),
    )


def dafl(teacher: nn.Module, student: nn.Module, generator: nn.Module, batch: int, latent: int) -> Round:
    """One generator and one student step on the same images."""
    generator_optimizer = torch.optim.Adam(generator.parameters(), 1e-3)
    student_optimizer = torch.optim.Adam(student.parameters(), 1e-3)

    device = next(student.parameters()).device

    def run() -> None:
        images = generator(torch.randn(batch, latent, device=device))
        logits, features, *_ = read_signal(teacher, images, frozenset({"features"}))
        assert features is not None
        mean = logits.softmax(1).mean(0)
        loss = F.cross_entropy(logits, logits.argmax(1)) - features.abs().mean() * 0.1 + 5 * (mean * mean.log10()).sum()
        imitation = F.kl_div(student(images.detach()).log_softmax(1), logits.detach().softmax(1), reduction="batchmean")
        generator_optimizer.zero_grad()
        student_optimizer.zero_grad()
        (loss + imitation).backward()
        generator_optimizer.step()
        student_optimizer.step()

    return run


def dfad(teacher: nn.Module, student: nn.Module, generator: nn.Module, batch: int, latent: int) -> Round:
    """Five student steps on fresh images, then one generator step against the student (Fang et al., 2019)."""
    generator_optimizer = torch.optim.Adam(generator.parameters(), 1e-3)
    student_optimizer = torch.optim.SGD(student.parameters(), 0.01, momentum=0.9, weight_decay=5e-4)

    device = next(student.parameters()).device

    def run() -> None:
        for _ in range(5):
            images = generator(torch.randn(batch, latent, device=device)).detach()
            student_optimizer.zero_grad()
            F.l1_loss(student(images), teacher(images).detach()).backward()
            student_optimizer.step()
        generator_optimizer.zero_grad()
        images = generator(torch.randn(batch, latent, device=device))
        (-F.l1_loss(student(images), teacher(images))).backward()
        generator_optimizer.step()

    return run


def zskt(teacher: nn.Module, student: nn.Module, generator: nn.Module, batch: int, latent: int) -> Round:
    """One generator step, then ten student steps on its latents, with attention (Micaelli and Storkey, 2019).

    As in the official code the teacher answers once for all student steps, and the generator makes their images anew
    for each, in the graph, so that their gradient reaches it too; its next step clears that.
    """
    generator_optimizer = torch.optim.Adam(generator.parameters(), 1e-3)
    student_optimizer = torch.optim.Adam(student.parameters(), 2e-3)
    stages = frozenset({"stages"})

    device = next(student.parameters()).device

    def attention(maps: Tensor) -> Tensor:
        return F.normalize(maps.pow(2).mean(1).flatten(1))

    def run() -> None:
        latents = torch.randn(batch, latent, device=device)
        generator_optimizer.zero_grad()
        images = generator(latents)
        (-F.kl_div(student(images).log_softmax(1), teacher(images).softmax(1))).backward()
        nn.utils.clip_grad_norm_(generator.parameters(), 5)
        generator_optimizer.step()
        told = None
        for _ in range(10):
            images = generator(latents)
            if told is None:
                with torch.no_grad():
                    told = read_signal(teacher, images, stages)
            said = read_signal(student, images, stages)
            loss = F.kl_div(said.logits.log_softmax(1), told.logits.softmax(1))
            for theirs, ours in zip(told.stages, said.stages, strict=True):
                loss = loss + 250 * (attention(theirs) - attention(ours)).pow(2).mean()
            student_optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(student.parameters(), 5)
            student_optimizer.step()

    return run
