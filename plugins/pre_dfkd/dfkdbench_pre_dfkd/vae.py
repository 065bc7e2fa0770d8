"""A memory that generates: a variational auto-encoder trained on the stream of images."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from dfkdbench.parts.generators.networks import ConvNetwork
from dfkdbench.parts.optimizers import build_optimizer
from dfkdbench.parts.options import ConvNetworkOptions
from dfkdbench.recipe import OptimizerOptions
from dfkdbench.rng import seeded_initialisation
from dfkdbench.seams import Batch, Generator, Setting, TargetOf
from dfkdbench_pre_dfkd.encoder import Encoder
from dfkdbench_pre_dfkd.options import VaeOptions
from dfkdbench_pre_dfkd.tuning import LatentTuning

OFFICIAL_SIZE = 32


class VaeReplay:
    """Learns to make images like those of the stream, and stores none.

    PRE-DFKD (Binici et al., AAAI 2022), after its official code. Every step replays decoded latents that were tuned
    for class balance and confidence, decoder in eval mode, from the first step on. In the first `train_steps` of
    every `cycle` student steps the VAE learns from u, half of the fresh batch and as many self-made images as
    are replayed (the latter not in the first cycle):

        pixel_weight mean|u' - u| + logit_weight mean|T(u') - T(u)| + kl_weight mean_i KL(N(mu_i, sigma_i^2) || N(0, I))

    with u' the decoded u and T the teacher's logits. The official code leaves the latent tuning's gradient in the
    decoder (`leak_tuning_grad`). Deviation: the two Adams of that code are one, which computes the same.

    Args:
        options: Networks, objective, schedule, tuning.
        setting: Image shape, batch sizes, random generators.

    Raises:
        PlanError: A side of the images is not divisible by 4 or shorter than 8 pixels.
    """

    def __init__(self, options: VaeOptions, setting: Setting) -> None:
        self._options = options
        self._device = setting.device
        self._replay_size = setting.replay_size
        self._half_batch = max(1, setting.batch_size // 2)
        official = min(setting.image_shape[1:]) >= OFFICIAL_SIZE
        self._latent = options.latent or (1000 if official else 100)
        decoder_channels = options.decoder_channels or ((128, 128, 64) if official else (32, 16, 16))
        encoder_channels = options.encoder_channels or ((64, 128, 128) if official else (8, 16, 16))
        decoder_options = ConvNetworkOptions(latent=self._latent, channels=decoder_channels, norm_eps=0.8)
        with seeded_initialisation(setting.rng("vae.weights").initial_seed()):
            self.encoder = Encoder(encoder_channels, self._latent, setting.image_shape, options.input_norm)
            self.decoder = ConvNetwork(decoder_options, setting.image_shape)
            for network in (self.encoder, self.decoder):
                _initialise(network, options.init_range)
        parameters = [*self.encoder.to(setting.device).parameters(), *self.decoder.to(setting.device).parameters()]
        self._optimizer = build_optimizer(OptimizerOptions(lr=options.lr), parameters, setting.student_steps)
        self._tuning = LatentTuning(options.tuning, setting)
        self._rng = setting.rng("vae.latents")
        self._steps = 0

    @property
    def nbytes(self) -> int:
        """Bytes of both networks and of the two moments of Adam: the same from start to end."""
        buffers = [*self.encoder.buffers(), *self.decoder.buffers()]
        return 3 * sum(weight.nbytes for weight in self._optimizer.parameters) + sum(held.nbytes for held in buffers)

    def follow(self, generator: Generator) -> None:
        """Does nothing: the memory looks at images only."""

    def generator_learned(self, steps: int) -> None:
        """Does nothing."""

    def observe(self, batch: Batch, target_of: TargetOf) -> None:
        """Learns from the first half of the batch, where a step of the VAE is due."""
        if self._steps % self._options.cycle < self._options.train_steps:
            self._learn(batch.images[: self._half_batch].detach(), target_of)
        self._steps += 1

    def sample(self, count: int, target_of: TargetOf) -> Batch:
        """Self-made images (count, C, H, W), decoder in eval mode."""
        self.decoder.eval()
        return Batch(self._recall(count, target_of, leak=False))

    def objective(self, images: Tensor, noise: Tensor, target_of: TargetOf) -> Tensor:
        """The VAE's own loss for images (B, C, H, W), their latents drawn with noise (B, Z)."""
        options = self._options
        mean, log_variance = self.encoder(images)
        decoded = self.decoder(mean + noise * (0.5 * log_variance).exp())
        divergence = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(dim=1).mean()
        loss: Tensor = options.pixel_weight * (decoded - images).abs().mean() + options.kl_weight * divergence
        if options.logit_weight:
            difference = target_of(decoded).logits - target_of(images).logits
            loss = loss + options.logit_weight * difference.abs().mean()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Networks, optimiser, steps and the state of the random generator."""
        return {
            "encoder": dict(self.encoder.state_dict()),
            "decoder": dict(self.decoder.state_dict()),
            "optimizer": self._optimizer.state_dict(),
            "steps": self._steps,
            "rng": self._rng.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave, in place."""
        self.encoder.load_state_dict(state["encoder"])
        self.decoder.load_state_dict(state["decoder"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._steps = state["steps"]
        self._rng.set_state(state["rng"])

    def _learn(self, images: Tensor, target_of: TargetOf) -> None:
        self.encoder.train()
        self.decoder.train()
        self._optimizer.zero_grad()
        if self._steps >= self._options.cycle:
            recalled = self._recall(self._replay_size, target_of, leak=self._options.leak_tuning_grad)
            images = torch.cat([images, recalled])
        loss = self.objective(images, self._draw(len(images)), target_of)
        torch.autograd.backward(loss, inputs=self._optimizer.parameters)
        self._optimizer.step()

    def _recall(self, count: int, target_of: TargetOf, leak: bool) -> Tensor:
        """Images of tuned latents, in the decoder's present mode."""
        latents = self._tuning(self._draw(count), self.decoder, target_of, self.decoder.parameters() if leak else ())
        with torch.no_grad():
            images: Tensor = self.decoder(latents)
        return images

    def _draw(self, count: int) -> Tensor:
        return torch.randn(count, self._latent, device=self._device, generator=self._rng)


def _initialise(network: nn.Module, bound: float) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.uniform_(module.weight, -bound, bound)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
