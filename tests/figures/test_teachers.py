"""What the judge's own teachers say, on the real digits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save
from torch import Tensor

from dfkdbench.assembly import build_teachers
from dfkdbench.config import resolve
from dfkdbench.datasets.digits import load_digits
from dfkdbench.datasets.images import TensorImages, normalise
from dfkdbench.descriptors import Method
from dfkdbench.errors import IntegrityError
from dfkdbench.evaluate import agreement, evaluate
from dfkdbench.figures.final import judge_images
from dfkdbench.figures.teachers import JudgesTeachers
from dfkdbench.handover import HandedOver
from dfkdbench.plan import Cell, Plan, make_plan
from dfkdbench.recipe import Recipe
from dfkdbench.registry import Owned, Registry
from dfkdbench.runfolder import RunFolder
from dfkdbench.teachers.store import TeacherStore

CPU = torch.device("cpu")
MakeTeachers = Callable[..., JudgesTeachers]


@pytest.fixture(scope="module")
def test_set() -> TensorImages:
    return load_digits(None, train=False, download=False)


@pytest.fixture
def plan_of(registry: Registry) -> Callable[..., Plan]:
    """Makes a plan with the packaged teachers of some seeds."""

    def make(*seeds: int) -> Plan:
        digits, models = registry.datasets.get("digits"), registry.models
        cell = Cell(digits, models.get("lenet_s"), models.get("lenet_xs"), "smoke", digits.item.budgets["smoke"])
        method = Owned(Method(name="toy", summary="Toy.", recipe=Recipe()), "toy-lab", "1", "toy")
        overrides = [("aggregator", "mean", "--aggregator")] if len(seeds) > 1 else []
        resolved = resolve(registry, method.item, ("digits", cell.pair, "smoke"), overrides)
        teachers = {f"digits-lenet_s-s{seed}": bundle_weights(seed)[1] for seed in seeds}
        return make_plan(method, resolved, cell, teachers, 0, "cpu", "f" * 64)

    return make


def bundle_weights(seed: int) -> tuple[Path, str]:
    bundle = TeacherStore.default().find("digits", "lenet_s", seed, "standard")
    assert bundle is not None
    return bundle.weights, bundle.sha256


def paths(*seeds: int) -> list[Path]:
    return [bundle_weights(seed)[0] for seed in seeds]


def handed(images: Tensor) -> HandedOver:
    images = images.to(torch.float16).contiguous()
    return HandedOver(images, save({"images": images}))


def normalised(plan: Plan, images: TensorImages) -> Tensor:
    return normalise(images.images, plan.input.mean, plan.input.std)


def test_agreement__of_a_teacher_with_itself_is_whole_and_of_another_what_is_counted(
    plan_of: Callable[..., Plan], test_set: TensorImages
) -> None:
    plan = plan_of(0)
    teachers = JudgesTeachers(plan, paths(0), test_set, CPU)
    (own,), (other,) = build_teachers(plan, paths(0), CPU), build_teachers(plan_of(1), paths(1), CPU)
    found = evaluate(own, test_set, plan.input.mean, plan.input.std, CPU)
    assert teachers.agreement_with(found) == 100
    assert found.accuracy < 100  # so agreement is no accuracy
    with torch.no_grad():
        images = normalised(plan, test_set)
        expected = 100 * float((own(images).argmax(1) == other(images).argmax(1)).double().mean())
    assert teachers.agreement_with(evaluate(other, test_set, plan.input.mean, plan.input.std, CPU)) == expected
    assert 90 < expected < 100


def test_agreement__several_teachers_decide_by_their_mean_logits(
    plan_of: Callable[..., Plan], test_set: TensorImages
) -> None:
    plan = plan_of(0, 1, 2)
    teachers = JudgesTeachers(plan, paths(0, 1, 2), test_set, CPU)
    networks = build_teachers(plan, paths(0, 1, 2), CPU)
    with torch.no_grad():
        logits = [network(normalised(plan, test_set)) for network in networks]
    assert torch.equal(teachers.reference.decisions, torch.stack(logits).mean(0).argmax(1))
    assert any(agreement(one.argmax(1), teachers.reference.decisions) < 100 for one in logits)


def test_reference__does_not_look_at_labels(plan_of: Callable[..., Plan], test_set: TensorImages) -> None:
    shuffled = TensorImages(test_set.images, test_set.labels.flip(0), test_set.classes)
    first, second = (JudgesTeachers(plan_of(0), paths(0), images, CPU).reference for images in (test_set, shuffled))
    assert torch.equal(first.decisions, second.decisions)
    assert first.gaussian is not None
    assert second.gaussian is not None
    assert torch.equal(first.gaussian.covariance, second.gaussian.covariance)


def test_judge_images__the_test_set_itself_is_as_diverse_as_it_and_at_no_distance(
    plan_of: Callable[..., Plan], test_set: TensorImages
) -> None:
    plan = plan_of(0)
    figures = JudgesTeachers(plan, paths(0), test_set, CPU).judge_images(handed(normalised(plan, test_set)))
    assert figures.synthetic_images == 500
    assert figures.synthetic_diversity == pytest.approx(1, abs=1e-3)  # images in float16
    assert figures.synthetic_frechet == pytest.approx(0, abs=1e-2)
    assert figures.synthetic_class_balance == pytest.approx(1, abs=1e-3)


def test_judge_images__tell_noise_copies_and_one_class_from_digits(
    plan_of: Callable[..., Plan], test_set: TensorImages
) -> None:
    plan = plan_of(0)
    teachers = JudgesTeachers(plan, paths(0), test_set, CPU)
    images = normalised(plan, test_set)
    half = teachers.judge_images(handed(images[::2]))
    noise = teachers.judge_images(handed(torch.randn(250, 1, 16, 16, generator=torch.Generator().manual_seed(0))))
    one_a_class = [int((teachers.reference.decisions == digit).int().argmax()) for digit in range(5)]
    copies = teachers.judge_images(handed(images[one_a_class].repeat(50, 1, 1, 1)))
    threes = teachers.judge_images(handed(images[test_set.labels == 3]))
    for worse in (noise, copies, threes):
        assert worse.synthetic_frechet > 5 * half.synthetic_frechet > 0
    assert copies.synthetic_diversity == pytest.approx(0, abs=1e-3)
    assert half.synthetic_diversity == pytest.approx(1, abs=0.05)
    assert threes.synthetic_class_balance < 0.2 < half.synthetic_class_balance


def test_judge_images__real_ones_are_near_and_noise_is_far(
    plan_of: Callable[..., Plan], test_set: TensorImages
) -> None:
    plan = plan_of(0)
    teachers = JudgesTeachers(plan, paths(0), test_set, CPU)
    training, rng = normalised(plan, load_digits(None, train=True)), torch.Generator().manual_seed(0)

    def distances(count: int) -> Tensor:
        draws = (training[torch.randperm(len(training), generator=rng)[:count]] for _ in range(10))
        return torch.tensor([teachers.judge_images(handed(images)).synthetic_frechet for images in draws])

    assert float(distances(512).mean()) == pytest.approx(6.7, abs=1)
    assert float(distances(64).mean()) == pytest.approx(67, rel=0.3)
    noise = torch.randn(512, 1, 16, 16, generator=rng)
    assert teachers.judge_images(handed(noise)).synthetic_frechet == pytest.approx(787, rel=0.05)


def test_judge_images__are_the_same_figures_each_time(plan_of: Callable[..., Plan], test_set: TensorImages) -> None:
    noise = handed(torch.randn(64, 1, 16, 16, generator=torch.Generator().manual_seed(1)))
    first, second = (JudgesTeachers(plan_of(0), paths(0), test_set, CPU).judge_images(noise) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_judge_images__one_value_that_is_not_finite_and_nothing_is_said(
    value: float, plan_of: Callable[..., Plan], test_set: TensorImages
) -> None:
    plan = plan_of(0)
    images = normalised(plan, test_set)[:20]
    images[7, 0, 3, 3] = value
    figures = JudgesTeachers(plan, paths(0), test_set, CPU).judge_images(handed(images))
    assert (figures.synthetic_images, len(figures.synthetic_sha256)) == (20, 64)
    assert figures.synthetic_class_balance is figures.synthetic_diversity is figures.synthetic_frechet is None


def test_judge_images__without_features_there_is_balance_alone(
    plan_of: Callable[..., Plan], test_set: TensorImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dfkdbench.figures.teachers._FEATURES", frozenset())
    plan = plan_of(0)
    figures = JudgesTeachers(plan, paths(0), test_set, CPU).judge_images(handed(normalised(plan, test_set)))
    assert figures.synthetic_class_balance == pytest.approx(1, abs=1e-3)
    assert figures.synthetic_diversity is figures.synthetic_frechet is None


def test_teachers__are_those_of_the_plan_or_refused(plan_of: Callable[..., Plan], test_set: TensorImages) -> None:
    with pytest.raises(IntegrityError, match="not the pinned file"):
        _ = JudgesTeachers(plan_of(0), paths(1), test_set, CPU).reference


def test_images__of_a_control_on_real_samples_are_drawn_and_neither_kept_nor_judged(
    plan_of: Callable[..., Plan], test_set: TensorImages, tmp_path: Path
) -> None:
    plan, folder = plan_of(0), RunFolder(tmp_path)
    teachers = JudgesTeachers(plan, paths(0), test_set, CPU)
    images = handed(normalised(plan, test_set)[:64])
    control = plan.model_copy(update={"side": "judge"})
    assert judge_images(control, folder, teachers, images) is None
    assert folder.samples.read_bytes().startswith(b"\x89PNG")
    assert not folder.synthetic.exists()
    assert judge_images(plan, folder, teachers, images) == teachers.judge_images(images)
    assert folder.synthetic.read_bytes() == images.data
