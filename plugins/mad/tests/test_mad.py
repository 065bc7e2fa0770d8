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
from dfkdbench.errors import PlanError
from dfkdbench_mad import METHOD, RECIPE

SMALL = {"batch_size": 64, "phases.distil.student_steps": 10}


def smoke(out: Path, plugin: str = "mad", **more: Any) -> Any:
    options = {"budget": "smoke", "settings": SMALL, "threads": 1, "isolation": "in-process"} | more
    (result,) = run(plugin, "digits", out=out, **options)
    return result


@pytest.mark.usefixtures("installed")
def test_run__whole_at_the_smallest_budget(tmp_path: Path) -> None:
    result = smoke(tmp_path)
    assert result.status == "finished"
    assert result.replay_bytes == 236_268
    assert result.student_samples == 2560 // (10 * 96) * 10 * 96


@pytest.mark.usefixtures("installed")
def test_run__a_generator_that_is_no_network_of_latents_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="'ema' needs a network of latents, and the generator 'noise' gives none"):
        smoke(tmp_path, "noise", settings={}, replay="ema")


def assembled(out: Path, options: dict[str, Any]) -> Assembly:
    settings = tuple(f"{key}={value}" for key, value in options.items())
    request = Request("mad", "digits", budget="smoke", settings=settings, device="cpu", out=out)
    prepared = prepare(request, Console())
    return Assembly(prepared.plan(0), [teacher.weights for teacher in prepared.teachers], torch.device("cpu"))


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("kind", ["joint", "meta_retain"])
def test_run__resumes_to_the_bit(kind: str, tmp_path: Path) -> None:
    options = SMALL | {"student_update.kind": kind}
    undisturbed, resumed = assembled(tmp_path, options), assembled(tmp_path, options)
    undisturbed.loop.advance()
    save_tree(undisturbed.state_dict(), tmp_path / "state.safetensors")
    resumed.load_state_dict(load_tree(tmp_path / "state.safetensors"))
    for assembly in (undisturbed, resumed):
        assembly.loop.advance()
    for name, value in undisturbed.student.state_dict().items():
        assert torch.equal(value, resumed.student.state_dict()[name]), name


RETAIN = {**SMALL, "student_update.kind": "meta_retain"}


@pytest.mark.usefixtures("installed")
def test_student_update__retaining_the_copys_images_and_as_released_the_plain_one(tmp_path: Path) -> None:
    plain = smoke(tmp_path)
    released = smoke(tmp_path, settings=RETAIN | {"student_update.meta_grad": "none"})
    assert released.student_sha256 == plain.student_sha256
    assert released.run_id != plain.run_id
    retaining = smoke(tmp_path, settings=RETAIN)
    assert retaining.status == "finished"
    assert retaining.student_sha256 != plain.student_sha256
    for count in ("student_samples", "teacher_queries", "replay_bytes"):
        assert getattr(retaining, count) == getattr(plain, count)


@pytest.mark.usefixtures("installed")
def test_student_update__without_the_copy_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="the replay 'none' has no images"):
        smoke(tmp_path, settings=RETAIN, replay="none")


def test_recipe__both_student_terms_weigh_one() -> None:
    assert RECIPE.replay_fraction == 1.0
    assert RECIPE.student_losses["kl"].weight == 2.0
    assert RECIPE.replay.options == {"alpha": 0.95}


def test_presets__say_where_they_are_from() -> None:
    assert all(preset.source for preset in METHOD.presets)
