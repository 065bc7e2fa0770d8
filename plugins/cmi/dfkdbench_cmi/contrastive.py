"""Images that can be told apart, among themselves and from those made before."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dfkdbench.errors import PlanError
from dfkdbench.learning import LearningLoss
from dfkdbench.parts.optimizers import build_optimizer
from dfkdbench.recipe import OptimizerOptions
from dfkdbench.seams import Setting, Signal, View
from dfkdbench_cmi.options import ContrastiveOptions
from dfkdbench_cmi.views import random_resized_crop


class ContrastiveLoss(LearningLoss):
    """Cross-entropy of finding each image's whole view among all, given its local view.

    CMI (Fang et al., IJCAI 2021). With v(x) the spatial means of the inputs of the teacher's batch norms, h a trained
    head with unit-length output, N images and N' remembered ones: A = h of the local views' v, C = h of the whole
    views' v, a constant, logits A C^T / temperature, target i for row i. The loss is the mean over the first N rows
    plus, once something is remembered, the mean over the N' others. Images get gradients through their local views
    alone, the head through A alone. The head takes its steps here, with Adam. After each call of `generator.fit` the
    features of the step with the lowest objective are remembered.

    The whole view is the image as the objective sees it; the local one is cut from the image before the generator's
    own augmentation. The teacher is asked about local views: as many queries again.

    Args:
        options: Temperature, features, head, memory, local views.
        setting: The teacher's channels; random generators.

    Raises:
        PlanError: The teacher gives no such features.
    """

    def __init__(self, options: ContrastiveOptions, setting: Setting) -> None:
        self._options = options
        self._signal = {"batch_norm": "batch_norm_means", "stages": "stages"}[options.instances]
        width = sum(setting.teacher_shapes.get(self._signal, ()))
        if not width:
            raise PlanError(_missing(options.instances))
        self.head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, options.width))
        self.head.to(setting.device)
        rates = OptimizerOptions(lr=options.lr)
        self._optimizer = build_optimizer(rates, self.head.parameters(), setting.generator_steps)
        self._rng = setting.rng("contrastive")
        self._bank = torch.zeros(2, options.bank_size, width, device=setting.device)
        self._written = 0
        self._seen: Tensor | None = None
        self._best: Tensor | None = None
        self._lowest: Tensor | None = None

    @property
    def stored(self) -> int:
        """Images remembered."""
        return min(self._written, self._options.bank_size)

    def __call__(self, view: View) -> Tensor:
        """The sum of both means, at least 0.

        Raises:
            PlanError: The target has no such features.
            ValueError: The view can't ask the teacher.
        """
        if view.ask is None:
            raise ValueError(
                "the loss contrastive was called with a view that can't ask the teacher about other images"
            )
        self._step_head()
        images = view.images if view.originals is None else view.originals
        local_images = random_resized_crop(images, self._options.smallest_area, self._options.flip, self._rng)
        local = self.instances(view.ask(local_images, frozenset({self._signal})))
        whole = self.instances(view.teacher).detach()
        self._seen = torch.stack([local.detach(), whole])
        remembered = self._bank[:, self._choose()]
        return self.compare(local, whole, *remembered)

    def compare(self, local: Tensor, whole: Tensor, local_bank: Tensor, whole_bank: Tensor) -> Tensor:
        """The loss of features (N, D) of both views with remembered ones (N', D)."""
        anchors = self._embed(torch.cat([local, local_bank]))
        with torch.no_grad():
            candidates = self._embed(torch.cat([whole, whole_bank]))
        logits = anchors @ candidates.T / self._options.temperature
        losses = F.cross_entropy(logits, torch.arange(len(logits), device=logits.device), reduction="none")
        count = len(local)
        return losses[:count].mean() + (losses[count:].mean() if len(local_bank) else 0.0)

    def instances(self, signal: Signal) -> Tensor:
        """What describes each image: (B, D).

        Raises:
            PlanError: The signal has no such features.
        """
        if self._signal == "stages":
            means = tuple(stage.mean((2, 3)) for stage in signal.stages)
        else:
            means = signal.batch_norm_means
        if not means:
            raise PlanError(_missing(self._options.instances))
        return torch.cat([mean.to(torch.promote_types(mean.dtype, torch.float32)) for mean in means], dim=1)

    @torch.no_grad()
    def judge(self, total: Tensor) -> None:
        """Keeps the features of the images just seen if their objective is the lowest of the call."""
        if self._seen is None:
            return
        if self._lowest is None or self._best is None:
            self._lowest, self._best = total.clone(), self._seen
            return
        better = total < self._lowest
        self._best = torch.where(better, self._seen, self._best)
        self._lowest = torch.where(better, total, self._lowest)

    @torch.no_grad()
    def settle(self) -> None:
        """Takes the head's last step and remembers the best features."""
        self._step_head()
        size = self._options.bank_size
        if self._best is not None and size:
            fresh = self._best[:, -size:]
            rows = (self._written + torch.arange(fresh.shape[1], device=fresh.device)) % size
            self._bank[:, rows] = fresh.to(self._bank.dtype)
            self._written += fresh.shape[1]
        self._seen = self._best = self._lowest = None

    def state_dict(self) -> dict[str, Any]:
        """Head, its optimiser and what is remembered."""
        return {
            "head": dict(self.head.state_dict()),
            "optimizer": self._optimizer.state_dict(),
            "bank": self._bank[:, : self.stored],
            "written": self._written,
            "rng": self._rng.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave, in place."""
        self.head.load_state_dict(state["head"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._written = state["written"]
        self._bank[:, : self.stored] = state["bank"].to(self._bank.device)
        self._rng.set_state(state["rng"])

    def _choose(self) -> Tensor:
        """Rows of remembered images to compare with, without repetition."""
        shuffled = torch.randperm(self.stored, device=self._bank.device, generator=self._rng)
        return shuffled[: self._options.negatives]

    def _embed(self, features: Tensor) -> Tensor:
        return F.normalize(self.head(features), dim=1)

    def _step_head(self) -> None:
        """One step on the gradients that the last backward pass has left; none before the first."""
        if all(parameter.grad is not None for parameter in self.head.parameters()):
            self._optimizer.step()
            self._optimizer.zero_grad()


def _missing(instances: str) -> str:
    wanted, instead = {
        "batch_norm": ("batch norm", "losses.contrastive.instances=stages"),
        "stages": ("stages", "losses.contrastive.instances=batch_norm"),
    }[instances]
    return (
        f"The loss contrastive compares images by the teacher's {wanted}, and the target gives none: the teacher has "
        f"none, or several teachers' differ in shape. Say --set {instead}, choose another pair "
        "(dfkdbench list models), or leave the loss out (--loss contrastive=0)."
    )
