"""The student's step with replayed images: against the formulas in float64, and what it may touch."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dfkdbench.answers import Answer
from dfkdbench.loop import StandardLoop
from dfkdbench.loopparts import LoopParts, group_losses
from dfkdbench.meter import Meter
from dfkdbench.parts.aggregators import FirstAggregator
from dfkdbench.parts.combiners import SumCombiner
from dfkdbench.parts.optimizers import Stepper, build_optimizer
from dfkdbench.plan import PlannedPhase
from dfkdbench.recipe import OptimizerOptions, Options, Phase, StudentUpdateOptions
from dfkdbench.seams import Batch, Signal, Stateless, Taps, View
from dfkdbench.studentupdates import build_student_update

pytestmark = pytest.mark.usefixtures("double")

CLASSES, INPUTS, HIDDEN = 3, 4, 5
FRESH, REPLAYED = 16, 2
ALPHA, DECAY = 0.3, 0.05
MetaGrad = Literal["full", "first_order", "none"]


class TwoLayers(nn.Module):
    """A smooth network, with batch norm behind its first layer where asked for."""

    def __init__(self, norm: bool = False) -> None:
        super().__init__()
        self.first = nn.Linear(INPUTS, HIDDEN)
        self.norm = nn.BatchNorm1d(HIDDEN) if norm else nn.Identity()
        self.last = nn.Linear(HIDDEN, CLASSES)
        self.calls = 0

    def forward(self, images: Tensor, taps: Taps | None = None) -> Tensor:
        self.calls += 1
        hidden = torch.tanh(self.norm(self.first(images.flatten(1))))
        if taps is not None:
            taps.tap_features(hidden)
        logits: Tensor = self.last(hidden)
        return logits


class Asked(TwoLayers):
    """A teacher as a loop is given it."""

    meter = Meter()

    def forward(self, images: Tensor, wants: frozenset[str] = frozenset()) -> Signal:  # type: ignore[override]
        self.meter.count_question(images)
        taps = Taps(wants)
        return Signal(super().forward(images, taps), taps.features)


class SquaredError(Stateless):
    """Mean over the batch, so that a joint batch weighs its halves by their sizes."""

    def __init__(self) -> None:
        self.views: list[View] = []

    def __call__(self, view: View) -> Tensor:
        assert view.student is not None
        self.views.append(view)
        return (view.student.logits - view.teacher.logits).square().mean()


class Memory(Stateless):
    """Always the same images, or none."""

    nbytes = 0

    def __init__(self, images: Tensor | None) -> None:
        self.images = images

    def follow(self, generator: Any) -> None:
        pass

    def generator_learned(self, steps: int) -> None:
        pass

    def observe(self, batch: Batch, target_of: Any) -> None:
        pass

    def sample(self, count: int, target_of: Any) -> Batch | None:
        return None if self.images is None else Batch(self.images[:count])


class Source(Stateless):
    """A generator that learns nothing."""

    def __init__(self) -> None:
        self.rng = torch.Generator().manual_seed(3)

    def train(self, mode: bool = True) -> None:
        pass

    def sample(self, count: int) -> Batch:
        return Batch(torch.randn(count, 1, 2, 2, generator=self.rng))


def images_of(count: int, seed: int = 1) -> Tensor:
    return torch.randn(count, 1, 2, 2, generator=torch.Generator().manual_seed(seed))


def make_parts(norm: bool = False, seed: int = 0, replayed: int = REPLAYED, **update: Any) -> LoopParts:
    """A whole loop around two small networks; `update` are options of the student's update."""
    torch.manual_seed(seed)
    student, teacher = TwoLayers(norm), Asked().eval().requires_grad_(False)
    teacher.meter = meter = Meter()
    optimizer = OptimizerOptions(kind="sgd", lr=0.1, momentum=0.9, weight_decay=0.01)
    return LoopParts(
        phases=(PlannedPhase(name="distil", rounds=4, phase=Phase(generator_steps=0, student_steps=2)),),
        batch_size=FRESH,
        replay_size=REPLAYED,
        teachers=(teacher,),
        student=student,
        student_stepper=build_optimizer(optimizer, student.parameters(), 100),
        generator=Source(),
        generator_learns=False,
        losses=group_losses({}),
        loss_needs={},
        combiner=SumCombiner(Options(), None),
        student_losses=group_losses({"error": (SquaredError(), 1.0, frozenset({"student"}))}),
        replay=Memory(images_of(replayed, seed=9) if replayed else None),
        aggregator=FirstAggregator(Options(), None),
        target_wants=frozenset(),
        meter=meter,
        device=torch.device("cpu"),
        precision="fp32",
        student_update=StudentUpdateOptions(**update),
    )


def meta_parts(meta_grad: MetaGrad = "full", alpha: float = ALPHA, decay: float = DECAY, **more: Any) -> LoopParts:
    return make_parts(kind="meta_retain", meta_grad=meta_grad, alpha=alpha, inner_weight_decay=decay, **more)


def gradients_of(parts: LoopParts, fresh: Tensor, replayed: Tensor) -> list[Tensor]:
    """The gradients that one step hands to the optimiser, which does not move."""
    batch = Batch(torch.cat([fresh, replayed]))
    held: list[Tensor] = []

    class Holding(Stepper):
        def step(self) -> None:
            held.extend(p.grad.clone() for p in self.parameters if p.grad is not None)

    options = OptimizerOptions(kind="sgd", lr=0.1)
    still = replace(parts, student_stepper=Holding(options, list(parts.student.parameters()), 1))
    build_student_update(still).step(batch, parts.answer_of(batch.images), len(fresh))
    return held


Weights = tuple[Tensor, Tensor, Tensor, Tensor]


def weights_of(network: nn.Module) -> Weights:
    first, bias, last, offset = (parameter.detach().clone().requires_grad_() for parameter in network.parameters())
    return first, bias, last, offset


def error_of(weights: Weights, images: Tensor, teacher: nn.Module) -> Tensor:
    """The student's loss written out, for a student without batch norm."""
    first, bias, last, offset = weights
    logits = torch.tanh(images.flatten(1) @ first.T + bias) @ last.T + offset
    return (logits - teacher(images).logits).square().mean()


def virtual_weights(weights: Weights, fresh: Tensor, teacher: nn.Module, create_graph: bool = False) -> Weights:
    """w - alpha (grad L_F(w) + decay w)."""
    slopes = torch.autograd.grad(error_of(weights, fresh, teacher), weights, create_graph=create_graph)
    first, bias, last, offset = (w - ALPHA * (g + DECAY * w) for w, g in zip(weights, slopes, strict=True))
    return first, bias, last, offset


def joint_gradient(parts: LoopParts, fresh: Tensor, replayed: Tensor) -> list[Tensor]:
    weights = weights_of(parts.student)
    return list(torch.autograd.grad(error_of(weights, torch.cat([fresh, replayed]), parts.teachers[0]), weights))


def assert_close(ours: Any, expected: Any) -> None:
    for mine, theirs in zip(ours, expected, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_no_virtual_step__replayed_images_weigh_ten_ninths_and_fresh_ones_eight() -> None:
    parts = meta_parts(alpha=0.0)
    fresh, replayed = images_of(FRESH), images_of(REPLAYED, seed=2)
    ours = gradients_of(parts, fresh, replayed)
    weights, teacher = weights_of(parts.student), parts.teachers[0]
    total = 8 / 9 * error_of(weights, fresh, teacher) + 10 / 9 * error_of(weights, replayed, teacher)
    assert_close(ours, torch.autograd.grad(total, weights))


def test_full__finite_differences_of_the_loss_after_the_virtual_step() -> None:
    parts = meta_parts("full")
    fresh, replayed, teacher = images_of(FRESH), images_of(REPLAYED, seed=2), parts.teachers[0]
    meta = [
        whole - joint
        for whole, joint in zip(
            gradients_of(parts, fresh, replayed), joint_gradient(parts, fresh, replayed), strict=True
        )
    ]
    weights = weights_of(parts.student)

    def retention() -> float:
        return error_of(virtual_weights(weights, fresh, teacher), replayed, teacher).item()

    width = 1e-5
    for weight, slope in zip(weights, meta, strict=True):
        flat = weight.detach().view(-1)
        for entry in range(flat.numel()):
            flat[entry] += width
            above = retention()
            flat[entry] -= 2 * width
            below = retention()
            flat[entry] += width
            assert slope.view(-1)[entry].item() == pytest.approx((above - below) / (2 * width), rel=1e-5, abs=1e-9)


def test_first_order__differs_by_the_hessian_of_the_fresh_images_times_the_slope_after_the_step() -> None:
    fresh, replayed = images_of(FRESH), images_of(REPLAYED, seed=2)
    full, first = meta_parts("full"), meta_parts("first_order")
    weights, teacher = weights_of(full.student), full.teachers[0]
    stepped = [w.detach().requires_grad_() for w in virtual_weights(weights, fresh, teacher)]
    after = torch.autograd.grad(error_of(tuple(stepped), replayed, teacher), stepped)
    slopes = torch.autograd.grad(error_of(weights, fresh, teacher), weights, create_graph=True)
    hessian_term = torch.autograd.grad(slopes, weights, grad_outputs=after)
    of_full, of_first = gradients_of(full, fresh, replayed), gradients_of(first, fresh, replayed)
    assert_close([a - b for a, b in zip(of_full, of_first, strict=True)], [-ALPHA * term for term in hessian_term])
    joint = joint_gradient(first, fresh, replayed)
    kept = [j + (1 - ALPHA * DECAY) * a for j, a in zip(joint, after, strict=True)]
    assert_close(of_first, kept)
    assert max(term.abs().max() for term in hessian_term) > 1e-3


def test_plain_images_fresh__acquisition_plus_retention() -> None:
    fresh, replayed = images_of(FRESH), images_of(REPLAYED, seed=2)
    for meta_grad in ("full", "first_order"):
        parts = meta_parts(meta_grad, plain_images="fresh")
        ours = gradients_of(parts, fresh, replayed)
        joint = gradients_of(meta_parts(meta_grad), fresh, replayed)
        weights, teacher = weights_of(parts.student), parts.teachers[0]
        acquisition = torch.autograd.grad(error_of(weights, fresh, teacher), weights)
        exchanged = zip(joint, joint_gradient(parts, fresh, replayed), acquisition, strict=True)
        assert_close(ours, [whole - both + alone for whole, both, alone in exchanged])


def run(parts: LoopParts) -> LoopParts:
    loop = StandardLoop(parts)
    while not loop.done:
        loop.advance()
    return parts


def state_of(parts: LoopParts) -> dict[str, Tensor]:
    return parts.student.state_dict()


def same(first: LoopParts, second: LoopParts) -> bool:
    return all(torch.equal(value, state_of(second)[name]) for name, value in state_of(first).items())


@pytest.mark.parametrize("norm", [False, True])
def test_none__the_student_is_that_of_the_joint_update_to_the_bit(norm: bool) -> None:
    joint = run(make_parts(norm))
    assert same(run(meta_parts("none", norm=norm)), joint)
    for meta_grad in ("full", "first_order"):
        assert not same(run(meta_parts(meta_grad, norm=norm)), joint)


def test_without_replayed_images__the_joint_update_to_the_bit() -> None:
    parts = run(meta_parts(norm=True, replayed=0))
    assert same(parts, run(make_parts(norm=True, replayed=0)))
    assert set(parts.meter.flush()) == {"error"}


@pytest.mark.parametrize("meta_grad", ["full", "first_order", "none"])
def test_buffers__are_moved_by_the_joint_forward_pass_alone(meta_grad: MetaGrad) -> None:
    fresh, replayed = images_of(FRESH), images_of(REPLAYED, seed=2)
    parts = meta_parts(meta_grad, norm=True)
    expected = copy.deepcopy(parts.student).train()
    expected(torch.cat([fresh, replayed]))
    gradients_of(parts, fresh, replayed)
    for (name, ours), theirs in zip(parts.student.named_buffers(), expected.buffers(), strict=True):
        assert torch.equal(ours, theirs), name


def test_buffers__with_the_fresh_images_alone_as_plain_ones_are_moved_by_these() -> None:
    fresh, replayed = images_of(FRESH), images_of(REPLAYED, seed=2)
    parts = meta_parts(norm=True, plain_images="fresh")
    expected = copy.deepcopy(parts.student).train()
    expected(fresh)
    gradients_of(parts, fresh, replayed)
    for ours, theirs in zip(parts.student.buffers(), expected.buffers(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize(("plain_images", "passes"), [("joint", 3), ("fresh", 2)])
def test_cost__one_teacher_pass_one_optimiser_step_and_no_image_counted_twice(plain_images: str, passes: int) -> None:
    parts = meta_parts(norm=True, plain_images=plain_images)
    run(parts)
    steps = 4 * 2
    assert parts.teachers[0].calls == steps
    assert parts.student.calls == passes * steps
    assert parts.student_stepper.steps == steps
    assert parts.meter.counters() == {
        "student_steps": steps,
        "student_samples": steps * (FRESH + REPLAYED),
        "teacher_queries": steps * (FRESH + REPLAYED),
        "generator_steps": 0,
    }
    assert set(parts.meter.flush()) == {"error", "acquisition", "retention"}
    assert all(parameter.grad is None for parameter in parts.teachers[0].parameters())


def test_views__each_group_of_images_comes_with_its_own_labels_answers_and_student_signal() -> None:
    parts = meta_parts()
    loss = SquaredError()
    needs = frozenset({"student", "features", "student_features"})
    parts = replace(
        parts, student_losses=group_losses({"error": (loss, 1.0, needs)}), target_wants=frozenset({"features"})
    )
    images, labels = images_of(FRESH + REPLAYED), torch.arange(FRESH + REPLAYED)
    answer = parts.answer_of(images)
    build_student_update(parts).step(Batch(images, labels), answer, FRESH)
    groups = (slice(None), slice(None, FRESH), slice(FRESH, None))
    for view, group in zip(loss.views, groups, strict=True):
        assert view.student is not None
        assert view.student.features is not None
        assert view.labels is not None
        assert torch.equal(view.images, images[group])
        assert torch.equal(view.labels, labels[group])
        assert torch.equal(view.teacher.logits, answer.target.logits[group])
        assert torch.equal(view.teachers[0].logits, answer.teachers[0].logits[group])
        assert torch.equal(view.teacher.features, answer.target.features[group])
        assert view.student.features.shape == (len(view.images), HIDDEN)


def test_answers__split_undoes_what_joined_them() -> None:
    parts = make_parts()
    first, others = parts.answer_of(images_of(5)), parts.answer_of(images_of(3, seed=4))
    halves: tuple[Answer, Answer] = first.followed_by(others).split(5)
    for half, whole in zip(halves, (first, others), strict=True):
        assert torch.equal(half.target.logits, whole.target.logits)
        assert torch.equal(half.teachers[0].logits, whole.teachers[0].logits)


class Quadratic(nn.Module):
    """A linear student of two weights: its loss on an image is quadratic along that image."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, 1.0]))

    def forward(self, images: Tensor, taps: Taps | None = None) -> Tensor:
        return images.flatten(1) @ self.weight[:, None]


def step_of(fresh: Tensor, replayed: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of the student's two weights with a virtual step and with none."""
    found = []
    for alpha in (0.1, 0.0):
        parts = meta_parts(alpha=alpha, decay=0.0)
        student = Quadratic()
        teacher = nn.Module()
        teacher.forward = lambda images, wants=None: Signal(targets)
        parts = replace(parts, student=student, teachers=(teacher,))
        found += gradients_of(parts, fresh, replayed)
    with_step, without = found
    return with_step, without


def test_toy__orthogonal_tasks_are_left_alone_and_opposite_ones_hold_each_other_back() -> None:
    one, other = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    with_step, without = step_of(one, other, torch.tensor([[0.0], [0.0]]))
    torch.testing.assert_close(with_step, without)
    # Fresh images pull the first weight from 1 to 0, replayed ones to 3. The slope of the joint loss is -1, that of
    # retention 2 (w - 3) = -4, and after the step to w' = 0.8 w it is 2 (0.8 w - 3) 0.8 = -3.52.
    with_step, without = step_of(one, one, torch.tensor([[0.0], [3.0]]))
    torch.testing.assert_close(without, torch.tensor([-5.0, 0.0]))
    torch.testing.assert_close(with_step, torch.tensor([-4.52, 0.0]))


@pytest.mark.parametrize("build", [meta_parts, lambda: meta_parts(norm=True)])
def test_resume__at_any_round_gives_the_same_student(build: Callable[[], LoopParts]) -> None:
    undisturbed = run(build())
    for stop in range(1, 4):
        first, second = build(), build()
        loop = StandardLoop(first)
        for _ in range(stop):
            loop.advance()
        second.student.load_state_dict(first.student.state_dict())
        second.student_stepper.load_state_dict(copy.deepcopy(first.student_stepper.state_dict()))
        second.generator.rng.set_state(first.generator.rng.get_state())
        resumed = StandardLoop(second)
        resumed.load_state_dict(loop.state_dict())
        while not resumed.done:
            resumed.advance()
        assert same(second, undisturbed)


def test_reference__the_written_out_loss_is_the_students() -> None:
    parts = make_parts()
    images = images_of(4)
    expected = F.mse_loss(parts.student(images), parts.teachers[0](images).logits)
    torch.testing.assert_close(error_of(weights_of(parts.student), images, parts.teachers[0]), expected)
