from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from dfkdbench.api import run
from dfkdbench.assembly import Assembly
from dfkdbench.bench import Request, prepare
from dfkdbench.checkpoint import load_tree, save_tree
from dfkdbench.cli.console import Console
from dfkdbench.errors import ConfigError, DfkdbenchError
from dfkdbench_mb_dfkd import METHOD, RECIPE

SMALL = {"batch_size": 32, "phases.distil.student_steps": 10}


def smoke(out: Path, plugin: str = "mb_dfkd", **more: Any) -> Any:
    options = {"budget": "smoke", "settings": SMALL, "threads": 1, "isolation": "in-process"} | more
    (result,) = run(plugin, "digits", out=out, **options)
    return result


@pytest.mark.usefixtures("installed")
def test_run__whole_at_the_smallest_budget(tmp_path: Path) -> None:
    result = smoke(tmp_path)
    assert result.status == "finished"
    assert result.replay_bytes == 10 * 4 * 16 * 16 * 4
    assert result.student_samples == 70 * 36 - 4  # the bank is empty in the first step


@pytest.mark.usefixtures("installed")
def test_run__the_bank_grows_to_its_capacity(tmp_path: Path) -> None:
    result = smoke(tmp_path, settings=SMALL | {"replay.push_every": 7, "replay.first_push": 7})
    halfway, end = (evaluation.replay_bytes for evaluation in result.evaluations)
    assert 0 < halfway < end == result.replay_bytes == 10 * 4 * 16 * 16 * 4


@pytest.mark.usefixtures("installed")
def test_run__with_a_bank_on_a_control(tmp_path: Path) -> None:
    settings = {"batch_size": 32, "replay.capacity": 8, "replay.policy": "reservoir", "replay.push_every": 1}
    result = smoke(tmp_path, "random-generator", settings=settings, replay="bank")
    assert (result.status, result.replay_bytes) == ("finished", 8 * 16 * 16 * 4)


@pytest.mark.usefixtures("installed")
def test_run__capacity_of_zero_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"replay\.capacity: given 0, expected: .*greater than or equal to 1"):
        smoke(tmp_path, settings={"replay.capacity": 0})


@pytest.mark.usefixtures("installed")
def test_run__capacity_beyond_the_device_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DfkdbenchError, match=r"capacity of 1,000,000,000,000 images"):
        smoke(tmp_path, settings={"replay.capacity": 10**12})


def assembled(out: Path) -> Assembly:
    settings = tuple(f"{key}={value}" for key, value in SMALL.items())
    request = Request("mb_dfkd", "digits", budget="smoke", settings=settings, device="cpu", out=out)
    prepared = prepare(request, Console())
    return Assembly(prepared.plan(0), [teacher.weights for teacher in prepared.teachers], torch.device("cpu"))


@pytest.mark.usefixtures("installed")
def test_run__resumes_to_the_bit(tmp_path: Path) -> None:
    undisturbed, resumed = assembled(tmp_path), assembled(tmp_path)
    undisturbed.loop.advance()
    save_tree(undisturbed.state_dict(), tmp_path / "state.safetensors")
    resumed.load_state_dict(load_tree(tmp_path / "state.safetensors"))
    for assembly in (undisturbed, resumed):
        assembly.loop.advance()
    for name, value in undisturbed.student.state_dict().items():
        assert torch.equal(value, resumed.student.state_dict()[name]), name


def test_recipe__weights_and_order() -> None:
    weights = {name: choice.weight for name, choice in RECIPE.losses.items()}
    assert weights == {"one_hot": 1.0, "class_entropy": 5.0, "activation": 0.1, "js_disagreement": 1.0}
    assert RECIPE.losses["class_entropy"].options == {"log_base": 10}
    (phase,) = RECIPE.phases.values()
    assert (phase.generator_steps, phase.student_steps, phase.student_images) == (1, 10, "fresh")
    assert (phase.generator_mode, phase.student_mode) == ("train", "train")
    assert int(RECIPE.batch_size * RECIPE.replay_fraction) == 128


def test_presets__paper_budget_and_sources() -> None:
    paper = [preset for preset in METHOD.presets if preset.budget == "paper"]
    assert [preset.values["phases.distil.rounds"] for preset in paper] == [14_400]
    assert all(preset.source for preset in METHOD.presets)
