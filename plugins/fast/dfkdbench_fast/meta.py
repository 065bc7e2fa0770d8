"""A generator whose weights are learned as a starting point that few steps turn into good images."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from dfkdbench.parts.generators.pooled import BestImages, PooledImages, build_pixel_network, redraw
from dfkdbench.parts.optimizers import build_optimizer
from dfkdbench.recipe import OptimizerOptions
from dfkdbench.seams import Batch, Objective, Setting
from dfkdbench_fast.options import MetaOptions


class MetaGenerator:
    """Fits a copy of its network and fresh latents for a few steps, keeps the best images, learns from the way.

    The synthesis of FastDFKD (Fang et al., AAAI 2022). A call of `fit` with k steps copies the network, draws latents
    and classes, and takes k Adam steps on copy and latents. The network itself then takes one Adam step: on the sum of
    the copy's gradients of all k steps (`fomaml`; first-order MAML as in the official code, which sums along the
    trajectory), or on `reptile_factor` times the way from the copy's end back to the network (`reptile`). The copy is
    discarded. The images of the lowest objective, taken before each update, go to a pool that `sample` draws from;
    while it is empty `sample` gives images of the network as it is. The network always normalises by the batch.

    Args:
        options: Network, rates, meta-learning, augmentation, pool.
        setting: Image shape, classes, batch size, pixel mean and std, planned steps, random generators.

    Raises:
        PlanError: The image size is not divisible by 4.
    """

    def __init__(self, options: MetaOptions, setting: Setting) -> None:
        self.network = build_pixel_network(options, setting)
        self.copy = build_pixel_network(options, setting)
        self.images = PooledImages(options, setting)
        self.calls = 0
        self._options = options
        self._batch_size = options.batch_size or setting.batch_size
        self._classes = setting.classes
        self._device = setting.device
        self._rng = setting.rng("generator.latents")
        self._weights_rng = setting.rng("generator.weights")
        self._meta = build_optimizer(self._adam(options.meta_lr), self.network.parameters(), setting.generator_steps)

    def fit(self, objective: Objective, steps: int) -> None:
        """Makes one batch of images in `steps` steps, then moves the network once."""
        if not steps:
            return
        self.calls += 1
        if self.calls == self._options.reset_call:
            self._reset_first_layers()
        latents, labels = self._draw(self._batch_size)
        self.images.append(self._adapt(objective, steps, nn.Parameter(latents), labels), labels)
        if self._options.meta == "reptile":
            self._follow_copy()
        if self._options.meta != "none":
            self._meta.step()

    @torch.no_grad()
    def sample(self, count: int) -> Batch:
        """Images from the pool, cropped and mirrored, with their classes."""
        if len(self.images):
            return self.images.sample(count)
        latents, labels = self._draw(count)
        self._copy_network()
        return Batch(self.images.augment(self.copy(latents)), labels)

    def train(self, mode: bool = True) -> None:
        """Does nothing: the pool has no modes."""

    def state_dict(self) -> dict[str, Any]:
        """The network, its optimiser, the calls counted, the pool and the states of the random generators."""
        return {
            "network": dict(self.network.state_dict()),
            "meta": self._meta.state_dict(),
            "calls": self.calls,
            "images": self.images.state_dict(),
            "rng": self._rng.get_state(),
            "weights_rng": self._weights_rng.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave, in place."""
        self.network.load_state_dict(state["network"])
        self._meta.load_state_dict(state["meta"])
        self.calls = state["calls"]
        self.images.load_state_dict(state["images"])
        self._rng.set_state(state["rng"])
        self._weights_rng.set_state(state["weights_rng"])

    def _adapt(self, objective: Objective, steps: int, latents: nn.Parameter, labels: Tensor) -> Tensor:
        """The best images on the copy's way; leaves the gradients that fomaml sums on the network."""
        self._copy_network()
        self._meta.zero_grad()
        options = self._options
        inner = (
            build_optimizer(self._adam(options.lr), self.copy.parameters(), steps),
            build_optimizer(self._adam(options.latent_lr), [latents], steps),
        )
        best = BestImages()
        for step in range(steps):
            pixels = self.copy(latents)
            loss = objective(self.images.augment(pixels), labels, self.images.normalise(pixels))
            best.consider(pixels, loss)
            for optimizer in inner:
                optimizer.zero_grad()
            torch.autograd.backward(loss)
            if options.meta == "fomaml" and (options.gradients == "all" or step == steps - 1):
                self._add_gradients()
            for optimizer in inner:
                optimizer.step()
        return best.images

    @torch.no_grad()
    def _add_gradients(self) -> None:
        """Adds the copy's gradients to the network's."""
        for kept, copied in zip(self.network.parameters(), self.copy.parameters(), strict=True):
            if copied.grad is not None:
                kept.grad = copied.grad.clone() if kept.grad is None else kept.grad.add_(copied.grad)

    @torch.no_grad()
    def _follow_copy(self) -> None:
        """Makes the way from the copy back to the network the network's gradient."""
        for kept, copied in zip(self.network.parameters(), self.copy.parameters(), strict=True):
            kept.grad = self._options.reptile_factor * (kept - copied)

    @torch.no_grad()
    def _copy_network(self) -> None:
        self.copy.load_state_dict(self.network.state_dict())
        self.copy.train()

    def _reset_first_layers(self) -> None:
        """Draws the linear layer anew, and its norm with scales around 0, as the official code does."""
        redraw(self.network.project, self._weights_rng)
        redraw(self.network.layers[0], self._weights_rng, norm_mean=0.0)

    def _draw(self, count: int) -> tuple[Tensor, Tensor]:
        """Latents (count, Z) from N(0, I) and classes (count,), uniform."""
        latents = torch.randn(count, self._options.latent, device=self._device, generator=self._rng)
        return latents, torch.randint(self._classes, (count,), device=self._device, generator=self._rng)

    def _adam(self, rate: float) -> OptimizerOptions:
        return OptimizerOptions(kind="adam", lr=rate, betas=self._options.betas)
