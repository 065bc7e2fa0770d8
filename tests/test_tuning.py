"""Tuning on record: what differs from a preset, how presets were chosen, and that neither moves a run's id."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import dfkdbench
from dfkdbench.cli import main
from dfkdbench.config import resolve, several_teachers
from dfkdbench.descriptors import NOT_RECORDED, PUBLISHED, UNTUNED, Method, Preset, Tuning
from dfkdbench.plan import Cell, Plan, make_plan
from dfkdbench.recipe import LossChoice, Recipe
from dfkdbench.records import Result, read_result, summarise
from dfkdbench.registry import CORE, Owned, Registry, load_registry
from dfkdbench.tuning import Provenance, changed_settings, in_words, provenance_of, summary, tunings_of

HERE = "digits lenet_s:lenet_xs"
TESTED = Tuning("test accuracy", trials=12, cells=(HERE,), seeds=(10, 11))
METHOD = Method(
    name="toy",
    summary="Toy.",
    recipe=Recipe(losses={"one_hot": LossChoice(), "class_entropy": LossChoice(weight=5.0)}),
    presets=(
        Preset({"student.lr": 0.005}, dataset="digits", tuning=TESTED),
        Preset({"batch_size": 512}, dataset="mnist", tuning=PUBLISHED),
        Preset({"batch_size": 64}, budget="quick"),
        Preset({"student.weight_decay": 0.0}, dataset="digits", tuning=TESTED),
    ),
    tuning=PUBLISHED,
)


@pytest.fixture
def registry(registry: Registry) -> Registry:
    registry.methods.add("toy", Owned(METHOD, CORE, "1", "toy"))
    return registry


def plan_of(registry: Registry, *overrides: tuple[str, Any], teachers: int = 1, method: Method = METHOD) -> Plan:
    spec = registry.datasets.get("digits")
    cell = Cell(
        spec, registry.models.get("lenet_s"), registry.models.get("lenet_xs"), "quick", spec.item.budgets["quick"]
    )
    layers = [*several_teachers(teachers), *((key, value, "--set") for key, value in overrides)]
    resolved = resolve(registry, method, ("digits", cell.pair, "quick"), layers)
    hashes = {str(index): "f" * 64 for index in range(teachers)}
    return make_plan(Owned(method, CORE, "1", "toy"), resolved, cell, hashes, 0, "cpu", "e" * 64)


@pytest.mark.parametrize(
    ("overrides", "changed"),
    [
        ((), ()),
        ((("student.lr", 0.005), ("losses.class_entropy.weight", 5.0), ("generator", "conv")), ()),
        ((("student.lr", 0.05),), ("student.lr",)),
        ((("losses.one_hot.weight", 3.0),), ("losses.one_hot.weight",)),
        ((("losses.one_hot.weight", 0),), ("losses.one_hot",)),
        ((("losses.activation.weight", 1.0),), ("losses.activation",)),
        ((("losses.class_entropy.log_base", 10),), ("losses.class_entropy.log_base",)),
        ((("generator.optimizer.lr", 0.1), ("generator.latent", 7)), ("generator.latent", "generator.optimizer.lr")),
        ((("generator", "frozen"), ("generator.latent", 7)), ("generator",)),
        ((("phases.distil.student_steps", 5), ("batch_size", 32)), ("batch_size", "phases.distil.student_steps")),
    ],
    ids=lambda value: ",".join(map(str, value)) or "nothing",
)
def test_changed_settings__by_value_and_not_by_flag(
    registry: Registry, overrides: tuple[tuple[str, Any], ...], changed: tuple[str, ...]
) -> None:
    assert changed_settings(registry, plan_of(registry, *overrides)) == changed


def test_changed_settings__are_found_again_from_the_plan_file(registry: Registry) -> None:
    plan = plan_of(registry, ("student.lr", 0.05), ("student.milestones", [0.5]))
    again = Plan.model_validate_json(plan.model_dump_json())
    assert changed_settings(registry, again) == ("student.lr", "student.milestones")


def test_changed_settings__the_aggregator_of_several_teachers_is_no_change(registry: Registry) -> None:
    assert changed_settings(registry, plan_of(registry, teachers=3)) == ()


def test_changed_settings__of_a_method_that_is_not_installed(registry: Registry) -> None:
    plan = plan_of(registry, method=replace(METHOD, name="tyo"))
    with pytest.raises(dfkdbench.DfkdbenchError, match=r"'dfkdbench:tyo'.*toy"):
        changed_settings(registry, plan)


def test_run_id__does_not_know_how_values_were_chosen(registry: Registry) -> None:
    silent = replace(
        METHOD, presets=tuple(replace(preset, tuning=NOT_RECORDED) for preset in METHOD.presets), tuning=NOT_RECORDED
    )
    assert plan_of(registry).run_id == plan_of(registry, method=silent).run_id
    assert plan_of(registry, ("student.lr", 0.005)).run_id == plan_of(registry).run_id


def test_tunings__of_the_recipe_and_of_every_preset_in_force_once(registry: Registry) -> None:
    assert tunings_of(METHOD, ("digits", "lenet_s:lenet_xs", "quick")) == (PUBLISHED, TESTED, NOT_RECORDED)
    assert tunings_of(METHOD, ("mnist", "lenet5:lenet5_half", "standard")) == (PUBLISHED,)
    assert provenance_of(registry, plan_of(registry)) == Provenance((), (PUBLISHED, TESTED, NOT_RECORDED))


@pytest.mark.parametrize(
    ("tunings", "expected"),
    [
        (None, "-"),
        ((PUBLISHED, NOT_RECORDED, TESTED), "test accuracy here"),
        ((replace(TESTED, cells=("mnist lenet5:lenet5_half",)),), "test accuracy elsewhere"),
        ((PUBLISHED, NOT_RECORDED), "not recorded"),
        ((PUBLISHED, Tuning("data-free validation", trials=4)), "data-free validation"),
        ((UNTUNED, PUBLISHED), "publication"),
        ((UNTUNED,), "nothing"),
    ],
)
def test_summary__tells_what_speaks_most_against_an_untouched_test(
    tunings: tuple[Tuning, ...] | None, expected: str
) -> None:
    assert summary(tunings, "digits", "lenet_s:lenet_xs") == expected


def test_in_words__says_what_is_not_recorded() -> None:
    assert in_words(TESTED) == f"by test accuracy on {HERE}, 12 trials, seeds 10, 11"
    assert in_words(Tuning("test accuracy", cells=(HERE,))) == (
        f"by test accuracy on {HERE}, trials not recorded, seeds not recorded"
    )
    assert [in_words(tuning) for tuning in (NOT_RECORDED, PUBLISHED, UNTUNED)] == [
        "not recorded",
        "from a publication",
        "set without a trial",
    ]


def test_tuning__by_test_accuracy_names_its_cells() -> None:
    with pytest.raises(ValueError, match="names the cells"):
        Tuning("test accuracy", trials=3)


def test_record__keeps_both_and_older_ones_say_nothing(registry: Registry, tmp_path: Path) -> None:
    plan = plan_of(registry, ("student.lr", 0.05))
    result = summarise(plan, "failed", "", [], {}, "none", 99.0, provenance=provenance_of(registry, plan))
    assert (result.changed_settings, result.tuned) == (("student.lr",), True)
    (tmp_path / "result.json").write_text(result.model_dump_json(), encoding="utf-8")
    assert read_result(tmp_path / "result.json") == result
    kept = result.model_dump(mode="json", exclude={"changed_settings", "tuning"})
    older = Result.model_validate(kept)
    assert (older.changed_settings, older.tuning, older.tuned) == (None, None, None)
    assert not summarise(plan_of(registry), "failed", "", [], {}, "", 99.0, provenance=Provenance((), ())).tuned


def test_run__says_before_it_starts_that_it_will_not_rank() -> None:
    plain = ["run", "--plugin", "noise", "--dataset", "digits", "--dry-run"]
    done = CliRunner().invoke(main, [*plain, "--set", "student.lr=0.05"])
    assert "settings changed away from the preset, so that the run never ranks: student.lr\n" in done.stderr
    assert "settings changed" not in CliRunner().invoke(main, [*plain, "--set", "student.lr=0.005"]).stderr


def test_run__its_record_says_what_was_changed(tmp_path: Path) -> None:
    settings = {"batch_size": 64, "student.lr": 0.02}
    (result,) = dfkdbench.run("noise", "digits", budget="smoke", settings=settings, out=tmp_path, threads=1)
    assert result.changed_settings == ("student.lr",)
    assert result.tuning == (NOT_RECORDED,)


def test_methods__those_chosen_by_test_accuracy_name_cells_that_there_are() -> None:
    registry = load_registry()
    for name in registry.methods.names():
        method = registry.methods.get(name).item
        for tuning in (method.tuning, *(preset.tuning for preset in method.presets)):
            for cell in tuning.cells:
                dataset, pair = cell.split(" ")
                registry.datasets.get(dataset)
                for model in pair.split(":"):
                    registry.models.get(model)


def test_methods__a_source_that_tells_of_trials_has_a_tuning() -> None:
    registry = load_registry()
    for name in registry.methods.names():
        for preset in registry.methods.get(name).item.presets:
            if "test accuracy" in preset.source:
                assert preset.tuning.selected_by == "test accuracy", (name, preset.source)
