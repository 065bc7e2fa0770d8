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
from dfkdbench_pre_dfkd import METHOD, RECIPE
from dfkdbench_pre_dfkd.options import VaeOptions

SMALL = {"batch_size": 64, "phases.distil.student_steps": 10}


def smoke(out: Path, plugin: str = "pre_dfkd", **more: Any) -> Any:
    options = {"budget": "smoke", "settings": SMALL, "threads": 1, "isolation": "in-process"} | more
    (result,) = run(plugin, "digits", out=out, **options)
    return result


@pytest.mark.usefixtures("installed")
def test_run__whole_at_the_smallest_budget(tmp_path: Path) -> None:
    result = smoke(tmp_path)
    assert result.status == "finished"
    assert result.replay_bytes > 100_000
    assert [evaluation.replay_bytes for evaluation in result.evaluations] == 2 * [result.replay_bytes]
    assert result.student_samples == 30 * 72
    student, generator, tuning = 30 * 72, 3 * 64 * 2, 30 * 8 * 2
    first_cycle, later = 4 * 32 * 3, 8 * (40 * 3 + 8 * 2)
    assert result.teacher_queries == student + generator + tuning + first_cycle + later


@pytest.mark.usefixtures("installed")
def test_run__with_a_vae_on_a_control(tmp_path: Path) -> None:
    result = smoke(tmp_path, "random-generator", settings={"batch_size": 64}, replay="vae")
    assert result.status == "finished"


def assembled(out: Path) -> Assembly:
    settings = tuple(f"{key}={value}" for key, value in SMALL.items())
    request = Request("pre_dfkd", "digits", budget="smoke", settings=settings, device="cpu", out=out)
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


def test_recipe__one_generator_step_ten_student_steps_four_vae_steps() -> None:
    options = VaeOptions()
    assert (options.cycle, options.train_steps) == (RECIPE.phases["distil"].student_steps, 4)
    assert (options.lr, options.tuning.lr) == (0.02 / 40, 0.02)
    assert RECIPE.generator.options["optimizer"] == {"lr": 0.02}


def test_presets__paper_budget_and_sources() -> None:
    paper = [preset for preset in METHOD.presets if preset.budget == "paper"]
    assert [preset.values["phases.distil.rounds"] for preset in paper] == [14_400]
    assert all(preset.source for preset in METHOD.presets)
