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
from dfkdbench_cmi import METHOD, POOL_METHOD, POOL_RECIPE, RECIPE


def preset_values(dataset: str, pair: str, budget: str) -> dict[str, Any]:
    """Values of the presets that match, later ones winning."""
    matching = [preset.values for preset in METHOD.presets if preset.matches(dataset, pair, budget)]
    return {key: value for values in matching for key, value in values.items()}


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry as if this plugin alone were installed."""
    entry = importlib.metadata.EntryPoint("cmi", "dfkdbench_cmi", hookspecs.ENTRY_POINT_GROUP)
    monkeypatch.setattr(bench, "load_registry", lambda: Registry([entry]))


def test_recipe__follows_the_script_for_training_from_scratch() -> None:
    weights = {name: choice.weight for name, choice in RECIPE.losses.items()}
    assert weights == {"batch_norm": 1.0, "label": 1.0, "decision_adversarial": 0.5, "contrastive": 0.8}
    assert RECIPE.losses["contrastive"].options["temperature"] == 0.1
    assert RECIPE.student_losses["kl"].options == {"temperature": 20.0, "temperature_squared": True}
    (phase,) = RECIPE.phases.values()
    assert (phase.generator_steps, phase.student_steps, phase.student_images) == (200, 400, "fresh")
    assert phase.student_mode == "eval"


def test_presets__paper_budget_takes_80_000_student_steps_on_51_200_images() -> None:
    values = preset_values("cifar10", "wrn_40_2:wrn_16_1", "paper")
    rounds = values["phases.distil.rounds"]
    assert rounds * RECIPE.phases["distil"].student_steps == 80_000
    assert rounds * RECIPE.generator.options["batch_size"] == 51_200
    assert "losses.contrastive.instances" not in values
    assert preset_values("cifar10", "resnet34:resnet18", "paper")["losses.contrastive.instances"] == "stages"


def test_pool_recipe__follows_the_adversarial_script() -> None:
    weights = {name: choice.weight for name, choice in POOL_RECIPE.losses.items()}
    assert weights == {"batch_norm": 1.0, "label": 0.5, "decision_adversarial": 0.5, "contrastive": 0.8}
    invert, distil = POOL_RECIPE.phases.values()
    assert (invert.student_steps, invert.losses) == (0, ("batch_norm", "label", "contrastive"))
    assert invert.rounds * POOL_RECIPE.generator.options["batch_size"] == 51_200
    assert (distil.generator_steps, distil.student_steps, distil.losses) == (200, 2_000, None)
    rounds = [preset.values["phases.distil.rounds"] for preset in POOL_METHOD.presets if preset.budget == "paper"]
    assert rounds == [40, 40]


def test_presets__say_where_they_are_from() -> None:
    assert all(preset.source for preset in (*METHOD.presets, *POOL_METHOD.presets))


@pytest.mark.parametrize(("plugin", "rounds"), [("cmi", 4), ("cmi_from_pool", 2 + 4)])
def test_run__from_end_to_end(installed: None, tmp_path: Path, plugin: str, rounds: int) -> None:
    (result,) = run(
        plugin, "digits", pair="resnet_s:resnet_xs", budget="smoke", out=tmp_path, threads=1, isolation="in-process"
    )
    assert result.status == "finished", result.error
    assert result.student_samples == 2_560
    assert result.league == "batch-norm"
    steps, images, views = 3, 64, 2
    assert result.teacher_queries == 2_560 + rounds * steps * images * views * 2


def test_run__a_teacher_without_batch_norm_is_refused(installed: None, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="needs batch-norm statistics, and the teacher 'lenet_s' has no batch norm"):
        run("cmi", "digits", pair="lenet_s:lenet_xs", budget="smoke", out=tmp_path, threads=1)
