"""The one open recipe every teacher is trained by. The last epoch is kept; no test image takes part."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dfkdbench.augment import random_crop
from dfkdbench.datasets.images import ImageSet, channel_scale, drawn_batches, make_resident
from dfkdbench.descriptors import TeacherRecipe
from dfkdbench.errors import RunError
from dfkdbench.teachers.progress import Position, Progress

OnEpoch = Callable[[int, int, float], None]
"""Called after every epoch with its number (from 1), the number of epochs and the mean loss."""

Precision = Literal["fp32", "bf16"]


def train_network(
    network: nn.Module,
    train: ImageSet,
    recipe: TeacherRecipe,
    mean: Sequence[float],
    std: Sequence[float],
    seed: int,
    device: torch.device | str = "cpu",
    *,
    precision: Precision = "fp32",
    on_epoch: OnEpoch | None = None,
    checkpoint: Path | None = None,
) -> None:
    """Trains a network in place with cross-entropy; it ends on `device`, in eval mode.

    The random numbers of an epoch depend on (seed, epoch) only, and a run that goes on from a checkpoint ends with the
    same weights. Incomplete batches at the end of an epoch are left out.

    Args:
        mean: Per channel, of pixels scaled to 0..1; likewise `std`.
        checkpoint: File written after every epoch and every minute, and gone on from where it exists.

    Raises:
        RunError: The loss is not finite any more.
        IntegrityError: A damaged checkpoint.
    """
    device = torch.device(device)
    network.to(device).train()
    if device.type == "cuda":
        network.to(memory_format=torch.channels_last)
    images = make_resident(train, device)
    scale = channel_scale(mean, std, images.shape[0], device)
    optimizer = make_optimizer(network, recipe)
    progress = Progress(checkpoint, network, optimizer)
    at = progress.load()
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
        for epoch in range(at.epochs, recipe.epochs):
            loss = _train_epoch(network, images, recipe, scale, optimizer, seed, at, device, precision, progress)
            if not math.isfinite(loss):
                raise RunError(f"Training diverged: the loss of epoch {epoch + 1} of {recipe.epochs} is {loss}.")
            at = Position(epoch + 1)
            progress.keep(at)
            if on_epoch is not None:
                on_epoch(epoch + 1, recipe.epochs, loss)
    network.eval()


def _train_epoch(
    network: nn.Module,
    images: ImageSet,
    recipe: TeacherRecipe,
    scale: tuple[Tensor, Tensor],
    optimizer: torch.optim.Optimizer,
    seed: int,
    at: Position,
    device: torch.device,
    precision: Precision,
    progress: Progress,
) -> float:
    """Mean loss of one epoch, or of one whose first steps were made before; read from the device once, at its end."""
    generator = torch.Generator(device).manual_seed(epoch_seed(seed, at.epochs))
    batch_size = min(recipe.batch_size, len(images))
    steps = len(images) // batch_size
    order = torch.randperm(len(images), generator=generator, device=device)
    total = torch.zeros((), device=device) if at.loss is None else at.loss.to(device)
    if at.random_state is not None:
        generator.set_state(at.random_state)
    chosen = (order[step * batch_size : (step + 1) * batch_size] for step in range(at.steps, steps))
    for step, (pixels, labels) in enumerate(drawn_batches(images, chosen), at.steps):
        pixels, labels = pixels.to(device, non_blocking=True), labels.to(device, non_blocking=True)
        if recipe.augment:
            pixels = random_crop(pixels, recipe.flip, generator)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(recipe, at.epochs * steps + step, recipe.epochs * steps)
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            logits = network(torch.addcmul(scale[1], pixels.float(), scale[0]))
        loss = F.cross_entropy(logits.float(), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        total += loss.detach()
        if progress.is_due:
            progress.keep(Position(at.epochs, step + 1, generator.get_state(), total))
    return float(total) / steps


def epoch_seed(seed: int, epoch: int) -> int:
    """Seed of an epoch's order and crops: 63 bits of a hash of both numbers."""
    digest = hashlib.sha256(f"teacher {seed} epoch {epoch}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def make_optimizer(network: nn.Module, recipe: TeacherRecipe) -> torch.optim.Optimizer:
    """The recipe's optimiser; Adam's weight decay is the L2 kind, its moments are torch's defaults."""
    if recipe.optimizer == "adam":
        return torch.optim.Adam(network.parameters(), recipe.lr, weight_decay=recipe.weight_decay, fused=True)
    return torch.optim.SGD(
        network.parameters(), recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay, fused=True
    )


def learning_rate(recipe: TeacherRecipe, step: int, steps: int) -> float:
    """Learning rate of a step (from 0) of `steps`; cosine goes from `lr` towards 0."""
    fraction = step / steps
    if recipe.schedule == "cosine":
        return recipe.lr * (1 + math.cos(math.pi * fraction)) / 2
    if recipe.schedule == "multistep":
        return float(recipe.lr * recipe.gamma ** sum(fraction >= milestone for milestone in recipe.milestones))
    return recipe.lr
