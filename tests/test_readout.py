"""Readouts on the judge's side: which real samples, how they are fitted, what the record says, who may see them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load
from torch import Tensor, nn

from dfkdbench.bench import Request, prepare
from dfkdbench.cli.console import Console
from dfkdbench.config import parse_setting, resolve
from dfkdbench.datasets.images import TensorImages
from dfkdbench.descriptors import Method
from dfkdbench.errors import DataError, PlanError
from dfkdbench.evaluate import evaluate
from dfkdbench.files import sha256_of
from dfkdbench.parts.attention import HeadAttention
from dfkdbench.plan import Cell, Plan, make_plan
from dfkdbench.readout import judge_heads, take_samples
from dfkdbench.recipe import LossChoice, Recipe
from dfkdbench.registry import Owned, Registry
from dfkdbench.runfolder import RunFolder
from dfkdbench.seams import Taps

CLASSES, SIDE = 10, 16
METHOD = Method(name="toy", summary="Toy.", recipe=Recipe(losses={"one_hot": LossChoice()}))

TWO_HEADED = """
    from dfkdbench.descriptors import ModelSpec
    from dfkdbench.hookspecs import hookimpl

    API = 1

    @hookimpl
    def dfkdbench_models():
        return [
            ModelSpec(
                name="two_headed", target="x:y", summary="Toy.", signals=frozenset({"heads", "features"}), heads=2
            )
        ]
"""

FOREIGN = """
    from dfkdbench.descriptors import Component
    from dfkdbench.hookspecs import hookimpl

    API = 1

    @hookimpl
    def dfkdbench_aggregators():
        return [
            Component(
                kind="aggregator", name="foreign", target="x:y", summary="Toy.",
                needs=frozenset({"real_samples"}), provides=frozenset({"readout"}),
            )
        ]
"""


class TwoHeads(nn.Module):
    """Linear heads on the pixels, with batch norm: train mode would change the answer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.norm = nn.BatchNorm1d(SIDE * SIDE)
        self.classifiers = nn.ModuleList(nn.Linear(SIDE * SIDE, CLASSES) for _ in range(2))

    def forward(self, images: Tensor, taps: Taps | None = None) -> Tensor:
        hidden = self.norm(images.flatten(1))
        heads = [classifier(hidden) for classifier in self.classifiers]
        if taps is not None:
            taps.tap_heads(heads)
        return torch.stack(heads).mean(0)


def make_set(count: int, seed: int) -> TensorImages:
    rng = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (count, 1, SIDE, SIDE), dtype=torch.uint8, generator=rng)
    return TensorImages(pixels, torch.randint(0, CLASSES, (count,), generator=rng), CLASSES)


@pytest.fixture
def make(make_distribution: Callable[..., str], registry_of_site: Callable[[], Registry]) -> Callable[..., Plan]:
    """Makes the plan of the toy method for a student with two heads."""
    make_distribution("two-headed", TWO_HEADED)
    registry = registry_of_site()

    def plan_of(*settings: str, samples: str | None = None) -> Plan:
        digits, models = registry.datasets.get("digits"), registry.models
        cell = Cell(digits, models.get("lenet_s"), models.get("two_headed"), "smoke", digits.item.budgets["smoke"])
        overrides = [parse_setting(text) for text in settings]
        resolved = resolve(registry, METHOD, ("digits", cell.pair, "smoke"), overrides)
        teachers = {"first": "a" * 64, "second": "b" * 64}
        return make_plan(Owned(METHOD, "toy-lab", "1", "toy_lab"), resolved, cell, teachers, 0, "cpu", "f", samples)

    return plan_of


def test_plan__the_readout_is_a_league_of_its_own_and_the_worker_stays_sealed(make: Callable[..., Plan]) -> None:
    plan, mean = make("aggregator=attention", samples="c" * 64), make("aggregator=mean")
    assert plan.readout is not None
    assert plan.readout.name == "attention"
    assert (plan.side, plan.league) == ("worker", f"{mean.league}+real-samples")
    assert mean.readout is None


def test_run_id__depends_on_the_real_samples_only_where_there_are_some(make: Callable[..., Plan]) -> None:
    ids = {make("aggregator=attention", samples=letter * 64).run_id for letter in "cd"}
    assert len(ids) == 2
    mean = make("aggregator=mean")
    assert "readout_samples_sha256" not in mean.model_dump_json()
    assert Plan.model_validate_json(mean.model_dump_json()).run_id == mean.run_id
    with_samples = make("aggregator=attention", samples="c" * 64)
    assert Plan.model_validate_json(with_samples.model_dump_json()) == with_samples


def test_take_samples__first_images_with_their_labels(make: Callable[..., Plan]) -> None:
    part = make("aggregator=attention", "aggregator.samples=5").readout
    assert part is not None
    images = make_set(30, seed=1)
    taken = take_samples(part, images)
    assert torch.equal(taken.images, images.images[:5])
    assert torch.equal(taken.labels, images.labels[:5])
    with pytest.raises(PlanError, match=r"'attention' is to be fitted on 5 labelled .* has 4\. Say --set aggr.*=4"):
        take_samples(part, make_set(4, seed=1))


def test_judge_heads__every_figure_is_that_of_a_plain_evaluation(make: Callable[..., Plan], tmp_path: Path) -> None:
    plan, student = make("aggregator=attention"), TwoHeads()
    test_set, samples = make_set(200, seed=2), make_set(60, seed=3)
    before = {name: value.clone() for name, value in student.state_dict().items()}
    figures = judge_heads(plan, RunFolder(tmp_path), student, 2, test_set, samples)
    assert student.training
    assert all(torch.equal(value, before[name]) for name, value in student.state_dict().items())

    def accuracy(network: nn.Module) -> float:
        return evaluate(network, test_set, plan.input.mean, plan.input.std, "cpu").accuracy

    weights = (tmp_path / "readout.safetensors").read_bytes()
    attention = HeadAttention(CLASSES)
    attention.load_state_dict(load(weights))

    class Read(nn.Module):
        def __init__(self, student: nn.Module, choose: Callable[[Tensor], Tensor]) -> None:
            super().__init__()
            self.student, self.choose = student, choose

        def forward(self, images: Tensor) -> Tensor:
            taps = Taps({"heads"})
            self.student(images, taps)
            return self.choose(torch.stack(taps.heads))

    assert figures.ensemble == accuracy(student)
    assert figures.accuracies == (accuracy(Read(student, lambda h: h[0])), accuracy(Read(student, lambda h: h[1])))
    assert figures.readout is not None
    assert figures.readout.accuracy == accuracy(Read(student, attention))
    assert (figures.readout.name, figures.readout.samples) == ("attention", 60)
    assert figures.readout.sha256 == sha256_of(weights)
    assert judge_heads(plan, RunFolder(tmp_path), student, 2, test_set, samples) == figures


def test_judge_heads__the_fit_sees_the_training_samples_alone(make: Callable[..., Plan], tmp_path: Path) -> None:
    plan, student = make("aggregator=attention"), TwoHeads()
    fitted = []
    for test, samples in ((2, 3), (4, 3), (2, 5)):
        figures = judge_heads(plan, RunFolder(tmp_path), student, 2, make_set(50, test), make_set(60, samples))
        assert figures.readout is not None
        fitted.append(figures.readout.sha256)
    assert fitted[0] == fitted[1] != fitted[2]


def test_judge_heads__without_a_readout_there_are_the_heads_and_no_file(
    make: Callable[..., Plan], tmp_path: Path
) -> None:
    figures = judge_heads(make("aggregator=mean"), RunFolder(tmp_path), TwoHeads(), 2, make_set(50, seed=2), None)
    assert figures.readout is None
    assert len(figures.accuracies) == 2
    assert not (tmp_path / "readout.safetensors").exists()


def test_judge_heads__another_number_of_heads_than_promised(make: Callable[..., Plan], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'two_headed' gave 2 heads; its description says 3\."):
        judge_heads(make("aggregator=mean"), RunFolder(tmp_path), TwoHeads(), 3, make_set(5, seed=2), None)


def test_foreign_readout__is_refused_before_it_sees_a_sample(
    make_distribution: Callable[..., str], registry_of_site: Callable[[], Registry], tmp_path: Path
) -> None:
    make_distribution("foreign", FOREIGN)
    request = Request("noise", "digits", budget="smoke", aggregator="foreign", out=tmp_path)
    with pytest.raises(PlanError, match=r"Real samples are for the core's own code only; that of foreign would"):
        prepare(request, Console(), registry_of_site())
