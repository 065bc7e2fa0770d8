"""With one teacher, one head and no extra weights the method is the game of Fang et al. (2019) on plain logits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from dfkdbench.access import limit_teacher
from dfkdbench.descriptors import TEACHER_ACCESS
from dfkdbench.loop import StandardLoop
from dfkdbench.loopparts import LoopParts, group_losses
from dfkdbench.meter import Meter
from dfkdbench.models.digits import resnet_s
from dfkdbench.parts.aggregators import MeanAggregator
from dfkdbench.parts.combiners import SumCombiner
from dfkdbench.parts.generators.conv import ConvGenerator
from dfkdbench.parts.optimizers import build_optimizer
from dfkdbench.parts.options import ConvOptions
from dfkdbench.parts.replays import NoReplay
from dfkdbench.plan import PlannedPhase
from dfkdbench.recipe import OptimizerOptions, Options
from dfkdbench.rng import seeded_initialisation
from dfkdbench.seams import Setting, Stateless, View
from dfkdbench_cdfkd_mfs.losses.adversarial import AdversarialHeadsL1Loss
from dfkdbench_cdfkd_mfs.losses.heads import HeadsL1Loss
from dfkdbench_cdfkd_mfs.models.architectures import multi_level_resnet
from dfkdbench_cdfkd_mfs.recipes import MFS_RECIPE

NEEDS = frozenset({"student", "student_heads"})


class PlainDistance(Stateless):
    """sign * mean |s - t|, written out."""

    def __init__(self, sign: float) -> None:
        self.sign = sign

    def __call__(self, view: View) -> Tensor:
        assert view.student is not None
        difference = view.student.logits - view.teacher.logits
        return self.sign * difference.abs().sum() / difference.numel()


def play(setting: Setting, student_loss: Callable[[View], Tensor], image_loss: Callable[[View], Tensor]) -> nn.Module:
    """The student after three rounds of the method's own phase."""
    with seeded_initialisation(7):
        teacher = resnet_s(1, 10, 16).eval().requires_grad_(False)
        student = multi_level_resnet("mh1", 1, ((1, 1, 1), (4, 8, 16)), 1, 10, 16)
    one, meter = replace(setting, teacher_count=1), Meter()
    parts = LoopParts(
        phases=(PlannedPhase(name="distil", rounds=3, phase=MFS_RECIPE.phases["distil"]),),
        batch_size=one.batch_size,
        replay_size=0,
        teachers=(limit_teacher(teacher, TEACHER_ACCESS, meter),),
        student=student,
        student_stepper=build_optimizer(OptimizerOptions(kind="sgd", lr=0.05), student.parameters(), 15),
        generator=ConvGenerator(ConvOptions(latent=8, channels=(8, 8, 4)), one),
        generator_learns=True,
        losses=group_losses({"image": (image_loss, 1.0, NEEDS)}),  # type: ignore[dict-item]
        loss_needs={"image": NEEDS},
        combiner=SumCombiner(Options(), one),
        student_losses=group_losses({"student": (student_loss, 1.0, NEEDS)}),  # type: ignore[dict-item]
        replay=NoReplay(Options(), one),
        aggregator=MeanAggregator(Options(), one),
        target_wants=frozenset(),
        meter=meter,
        device=torch.device("cpu"),
        precision="fp32",
    )
    loop = StandardLoop(parts)
    while not loop.done:
        loop.advance()
    assert (parts.meter.student_steps, parts.meter.generator_steps) == (15, 3)
    return student


def test_one_teacher_and_one_head__the_student_is_that_of_the_plain_game(setting: Setting) -> None:
    ours = play(setting, HeadsL1Loss(Options(), setting), AdversarialHeadsL1Loss(Options(), setting))
    plain = play(setting, PlainDistance(1.0), PlainDistance(-1.0))
    other = play(setting, PlainDistance(1.0), PlainDistance(1.0))
    for mine, theirs in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)
    pairs = zip(ours.parameters(), other.parameters(), strict=True)
    assert any(not torch.allclose(mine, theirs, rtol=1e-3, atol=1e-4) for mine, theirs in pairs)
