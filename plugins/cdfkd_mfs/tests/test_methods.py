"""The recipes, their presets, what a plan refuses, and whole runs."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import dfkdbench_cdfkd_mfs
from dfkdbench.bench import Request, prepare
from dfkdbench.cli.console import Console
from dfkdbench.descriptors import Method
from dfkdbench.errors import DfkdbenchError, PlanError
from dfkdbench.judge import execute
from dfkdbench.parts.generators.networks import ConvNetwork
from dfkdbench.parts.options import ConvNetworkOptions
from dfkdbench.registry import Registry
from dfkdbench_cdfkd_mfs.recipes import CDFKD, CDFKD_TMM, METHODS, MFS

MFS_ON_DIGITS = {"plugin": "cdfkd_mfs", "pair": "resnet_s:mh3_resnet_xs", "teacher_count": 3}


@pytest.fixture
def one_thread() -> Iterator[None]:
    """A session in this process sets the number of threads; afterwards it is what it was."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def request(out: Path, **changes: Any) -> Request:
    values: dict[str, Any] = {
        "dataset": "digits",
        "budget": "smoke",
        "threads": 1,
        "isolation": "in-process",
        "settings": ("phases.distil.rounds=3",),
        "out": out,
        **MFS_ON_DIGITS,
    }
    return Request(**(values | changes))


def preset_values(method: Method, dataset: str, pair: str, budget: str) -> dict[str, Any]:
    """Values of the presets that match, later ones winning."""
    matching = [preset.values for preset in method.presets if preset.matches(dataset, pair, budget)]
    return {key: value for values in matching for key, value in values.items()}


def refusal(registry: Registry, out: Path, **changes: Any) -> str:
    with pytest.raises(PlanError) as caught:
        prepare(request(out, **changes), Console(), registry)
    return caught.value.message


def test_plugin__registers_with_parts_that_can_be_imported(registry: Registry) -> None:
    (status,) = [plugin for plugin in registry.plugins if plugin.name == "cdfkd_mfs"]
    assert status.status == "ok", status.reason
    offered = [*dfkdbench_cdfkd_mfs.dfkdbench_losses(), *dfkdbench_cdfkd_mfs.dfkdbench_models()]
    assert len(status.parts) == len(offered) + len(METHODS)
    for component in offered:
        module, attribute = component.target.split(":")
        assert getattr(importlib.import_module(module), attribute)


@pytest.mark.parametrize("method", [MFS, CDFKD_TMM], ids=lambda method: method.name)
def test_game__five_student_steps_then_one_of_the_generator(method: Method) -> None:
    (phase,) = method.recipe.phases.values()
    assert (phase.student_steps, phase.generator_steps, phase.order) == (5, 1, "student_first")
    assert (phase.student_images, phase.generator_mode, phase.student_mode) == ("fresh", "train", "train")


def test_mfs__generator_has_no_term_for_features_or_ensemble() -> None:
    assert set(MFS.recipe.losses) == {"adversarial_heads_l1", "batch_norm"}
    assert set(MFS.recipe.student_losses) == {"heads_l1", "head_features_l1", "l1"}


def test_cdfkd__variants_differ_as_their_codes_do() -> None:
    (phase,) = CDFKD.recipe.phases.values()
    assert (phase.student_images, phase.student_steps, phase.generator_steps) == ("shared", 1, 1)
    assert set(CDFKD.recipe.losses) == {"each_one_hot", "each_class_entropy", "each_activation"}
    assert set(CDFKD_TMM.recipe.losses) == {"adversarial_heads_kl", "adversarial_kl", "batch_norm"}
    assert CDFKD_TMM.recipe.generator.options["optimizer"]["schedule"] == "constant"
    assert CDFKD_TMM.recipe.student_losses == CDFKD.recipe.student_losses


def test_mfs__generator_has_the_published_size() -> None:
    options = {key: value for key, value in MFS.recipe.generator.options.items() if key != "optimizer"}
    network = ConvNetwork(ConvNetworkOptions.model_validate(options), (3, 32, 32))
    assert sum(parameter.numel() for parameter in network.parameters()) == 2_329_091


@pytest.mark.parametrize(
    ("dataset", "pair", "features", "ensemble", "batch", "rounds"),
    [
        ("cifar100", "resnet34:mh3_resnet18", 0.2, 5.0, 256, 15_000),
        ("cifar100", "wrn_40_2:mh3_wrn_16_2", 0.2, 5.0, 256, 15_000),
        ("cifar100", "wrn_40_2:mh3_wrn_16_1", 0.0, 5.0, 256, 15_000),
        ("cifar100", "wrn_40_2:mh3_resnet18", 0.0, 5.0, 256, 15_000),
        ("cifar100", "resnet18:mh3_wrn_40_2", 0.0, 5.0, 256, 15_000),
        ("caltech101", "resnet34:mh3_resnet18", 0.2, 5.0, 64, 15_000),
        ("mini_imagenet", "resnet34:mh3_resnet18", 0.05, 1.0, 64, 75_000),
    ],
)
def test_mfs_presets__official_recipes(
    dataset: str, pair: str, features: float, ensemble: float, batch: int, rounds: int
) -> None:
    values = preset_values(MFS, dataset, pair, "paper")
    defaults = {name: choice.weight for name, choice in MFS.recipe.student_losses.items()}
    assert values.get("student_losses.head_features_l1.weight", defaults["head_features_l1"]) == features
    assert values.get("student_losses.l1.weight", defaults["l1"]) == ensemble
    assert values.get("batch_size", MFS.recipe.batch_size) == batch
    assert values["phases.distil.rounds"] == rounds
    milestones = values.get("student.milestones", MFS.recipe.student.milestones)
    assert milestones == ((0.3, 0.6, 0.9) if dataset == "mini_imagenet" else (1 / 3, 2 / 3))
    assert values.get("generator.optimizer.milestones", (1 / 3, 2 / 3)) == milestones


@pytest.mark.parametrize(("dataset", "total"), [("mnist", 24_000), ("cifar10", 96_000)])
def test_cdfkd_presets__official_milestones_are_iterations(dataset: str, total: int) -> None:
    values = preset_values(CDFKD, dataset, "a:b", "paper")
    assert values["phases.distil.rounds"] == total
    assert [round(share * total) for share in values["student.milestones"]] == [400, 600]


def test_presets__say_where_they_are_from() -> None:
    assert all(preset.source for method in METHODS for preset in method.presets)


def test_plan__one_teacher(registry: Registry, tmp_path: Path) -> None:
    said = refusal(registry, tmp_path, teacher_count=1, aggregator="mean")
    assert "needs several teachers; there is 1. Say --teachers 3." in said


def test_plan__student_with_one_head(registry: Registry, tmp_path: Path) -> None:
    said = refusal(registry, tmp_path, pair="resnet_s:resnet_xs")
    assert "needs the student's heads, which the model 'resnet_xs' does not give" in said


def test_plan__two_heads_and_three_teachers(registry: Registry, tmp_path: Path) -> None:
    said = refusal(registry, tmp_path, pair="resnet_s:mh2_resnet_xs")
    assert "'mh2_resnet_xs' has 2 heads and there are 3 teachers. Say --teachers 2" in said


def test_plan__teachers_without_batch_norm(registry: Registry, tmp_path: Path) -> None:
    said = refusal(registry, tmp_path, pair="lenet_s:mh3_lenet_xs")
    assert "needs batch-norm statistics" in said
    prepared = prepare(
        request(tmp_path, pair="lenet_s:mh3_lenet_xs", losses=("batch_norm=0", "head_features_l1=0")),
        Console(),
        registry,
    )
    assert prepared.plan(0).league == "input-gradients"


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"pair": "resnet_s:mh2_resnet_xs", "teacher_count": 2},
        {"pair": "resnet_s:mh3_resnet_s"},
        {"pair": "lenet_s:mh3_lenet_xs", "plugin": "cdfkd"},
        {"pair": "resnet_s:mh3_resnet_xs_last", "plugin": "cdfkd_tmm"},
    ],
    ids=["mfs", "two-teachers", "with-features", "cdfkd", "cdfkd-tmm"],
)
def test_run__from_plan_to_record(registry: Registry, tmp_path: Path, changes: dict[str, Any]) -> None:
    prepared = prepare(request(tmp_path, **changes), Console(), registry)
    plan = prepared.plan(0)
    result = execute(plan, tmp_path, prepared.bench(plan))
    assert (result.status, result.error) == ("finished", "")
    assert result.accuracy_final is not None
    assert result.accuracy_final > 0
    assert len(plan.teachers) == changes.get("teacher_count", 3)


@pytest.mark.usefixtures("one_thread")
def test_run__feature_vectors_of_different_lengths_are_refused_with_the_reason(
    registry: Registry, tmp_path: Path
) -> None:
    prepared = prepare(request(tmp_path, losses=("head_features_l1=0.2",)), Console(), registry)
    plan = prepared.plan(0)
    with pytest.raises(
        DfkdbenchError, match=r"16 entries each, the teachers 32\. Leave the loss out: --loss head_features_l1=0"
    ):
        execute(plan, tmp_path, prepared.bench(plan))
