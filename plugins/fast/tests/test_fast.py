from __future__ import annotations

import importlib
import importlib.metadata
from pathlib import Path
from typing import Any

import pytest

from dfkdbench import bench, hookspecs
from dfkdbench.api import run
from dfkdbench.errors import PlanError
from dfkdbench.registry import Registry
from dfkdbench_fast import METHOD, RECIPE


def preset_values(dataset: str, pair: str, budget: str) -> dict[str, Any]:
    """Values of the presets that match, later ones winning."""
    matching = [preset.values for preset in METHOD.presets if preset.matches(dataset, pair, budget)]
    return {key: value for values in matching for key, value in values.items()}


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry as if this plugin alone were installed."""
    entry = importlib.metadata.EntryPoint("fast", "dfkdbench_fast", hookspecs.ENTRY_POINT_GROUP)
    monkeypatch.setattr(bench, "load_registry", lambda: Registry([entry]))


def test_recipe__follows_the_script_with_ten_steps() -> None:
    weights = {name: choice.weight for name, choice in RECIPE.losses.items()}
    assert weights == {"batch_norm_momentum": 10.0, "label": 0.4, "decision_adversarial": 1.1}
    assert {phase.generator_steps for phase in RECIPE.phases.values()} == {10}
    options = RECIPE.generator.options
    assert options["meta_lr"] == pytest.approx(10 * options["lr"])


def test_phases__twenty_calls_of_warm_up_the_last_of_them_adversarial() -> None:
    warm_up, adversarial, distil = RECIPE.phases.values()
    assert (warm_up.rounds, adversarial.rounds, distil.rounds) == (19, 1, None)
    assert (warm_up.student_steps, adversarial.student_steps, distil.student_steps) == (0, 0, 400)
    assert warm_up.losses == ("batch_norm_momentum", "label")
    assert adversarial.losses is None
    assert distil.losses is None


def test_presets__paper_budget_takes_80_000_student_steps_on_56_320_images() -> None:
    values = preset_values("cifar100", "wrn_40_2:wrn_16_1", "paper")
    rounds = values["phases.distil.rounds"]
    assert rounds * RECIPE.phases["distil"].student_steps == 80_000
    assert (20 + rounds) * RECIPE.batch_size == 56_320
    assert values["generator.reset_call"] == 140


@pytest.mark.parametrize(
    ("pair", "adversarial", "label"), [("resnet34:resnet18", 1.33, 0.5), ("vgg11:resnet18", 1.0, 0.5)]
)
def test_presets__weights_of_other_pairs(pair: str, adversarial: float, label: float) -> None:
    values = preset_values("cifar10", pair, "standard")
    assert values["losses.decision_adversarial.weight"] == adversarial
    assert values["losses.label.weight"] == label


def test_presets__say_where_they_are_from() -> None:
    assert all(preset.source for preset in METHOD.presets)


def test_run__from_end_to_end(installed: None, tmp_path: Path) -> None:
    (result,) = run(
        "fast", "digits", pair="resnet_s:resnet_xs", budget="smoke", out=tmp_path, threads=1, isolation="in-process"
    )
    assert result.status == "finished", result.error
    assert result.student_samples == 2_560
    assert result.league == "batch-norm"
    warm_up, rounds, steps, images = 3, 4, 3, 64
    assert result.teacher_queries == 2_560 + (warm_up + rounds) * steps * images * 2


def test_run__a_teacher_without_batch_norm_is_refused(installed: None, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="needs batch-norm statistics, and the teacher 'lenet_s' has no batch norm"):
        run("fast", "digits", pair="lenet_s:lenet_xs", budget="smoke", out=tmp_path, threads=1)
