"""Plans: what the run id depends on, rounds, budgets and evaluation points."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from dfkdbench import plan as plan_module
from dfkdbench.config import parse_setting, resolve
from dfkdbench.descriptors import Budget, Method, Preset
from dfkdbench.errors import PlanError
from dfkdbench.plan import Cell, Plan, make_plan
from dfkdbench.recipe import LossChoice, PartChoice, Phase, Recipe, StudentUpdateOptions
from dfkdbench.registry import Owned, Registry

RegistryOf = Callable[[], Registry]

RECIPE = Recipe(losses={"one_hot": LossChoice()}, batch_size=100)
METHOD = Method(name="toy", summary="Toy.", recipe=RECIPE)
BUDGET = Budget(student_samples=10_000, teacher_queries=60_000, device_seconds=60, evaluations=10)


def plan_of(
    registry: Registry,
    method: Method = METHOD,
    settings: Sequence[str] = (),
    budget: Budget = BUDGET,
    budget_name: str = "quick",
    dataset: str = "digits",
    pair: str = "lenet_s:lenet_xs",
    teachers: dict[str, str] | None = None,
    seed: int = 0,
    device: str = "cpu",
    test_set: str = "f" * 64,
    distribution: str = "toy-lab",
) -> Plan:
    teacher, student = pair.split(":")
    cell = Cell(
        registry.datasets.get(dataset), registry.models.get(teacher), registry.models.get(student), budget_name, budget
    )
    resolved = resolve(registry, method, (dataset, pair, budget_name), [parse_setting(text) for text in settings])
    owned = Owned(method, distribution, "1.0", "toy_lab")
    return make_plan(owned, resolved, cell, teachers or {"t": "a" * 64}, seed, device, test_set)


def refusal(registry: Registry, **changes: Any) -> str:
    with pytest.raises(PlanError) as caught:
        plan_of(registry, **changes)
    return caught.value.message


def with_phases(**phases: Phase) -> Method:
    return replace(METHOD, recipe=RECIPE.model_copy(update={"phases": phases}))


def test_run_id__equal_for_equal_input_and_readable(registry: Registry) -> None:
    first, second = plan_of(registry), plan_of(Registry(()))
    assert first.run_id == second.run_id
    assert first.run_id.startswith("toy-digits-lenet_s-lenet_xs-s0-")
    assert Plan.model_validate_json(first.model_dump_json()).run_id == first.run_id


def test_run_id__equal_in_every_process() -> None:
    """Sets are ordered by hashes that differ from process to process; none may leak into the id."""
    code = (
        "from dfkdbench.registry import Registry; from dfkdbench.plan import *; from dfkdbench.config import resolve\n"
        "r = Registry(()); m = r.methods.get('noise'); d = r.datasets.get('digits')\n"
        "c = Cell(d, r.models.get('resnet_s'), r.models.get('resnet_xs'), 'quick', d.item.budgets['quick'])\n"
        "o = [(f'losses.{n}.weight', 1.0, '--loss') for n in ('batch_norm', 'activation', 'one_hot')]\n"
        "print(make_plan(m, resolve(r, m.item, ('digits', c.pair, 'quick'), o), c, {'t': 'a'}, 0, 'cpu', 'f').run_id)"
    )
    ids = set()
    for hash_seed in ("1", "2", "3"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        ids.add(done.stdout.strip())
    assert len(ids) == 1
    assert ids.pop().startswith("noise-digits-")


CHANGES: dict[str, dict[str, Any]] = {
    "seed": {"seed": 1},
    "device": {"device": "cuda"},
    "test set": {"test_set": "e" * 64},
    "teacher weights": {"teachers": {"t": "b" * 64}},
    "second teacher": {"teachers": {"t": "a" * 64, "u": "b" * 64}, "settings": ["aggregator=mean"]},
    "pair": {"pair": "lenet_s:lenet_s"},
    "budget name": {"budget_name": "standard"},
    "budget": {"budget": replace(BUDGET, teacher_queries=50_000)},
    "evaluations": {"budget": replace(BUDGET, evaluations=5)},
    "a setting": {"settings": ["student.lr=0.5"]},
    "an option of a part": {"settings": ["generator.slope=0.5"]},
    "a part": {"settings": ["generator=frozen"]},
    "a weight": {"settings": ["losses.one_hot.weight=2"]},
    "precision": {"settings": ["precision=bf16"]},
    "phase": {"settings": ["phases.distil.generator_mode=eval"]},
    "method version": {"method": replace(METHOD, version="2")},
    "method name": {"method": replace(METHOD, name="toy2")},
    "distribution": {"distribution": "other-lab"},
}


@pytest.mark.parametrize("change", CHANGES)
def test_run_id__changes_with(change: str, registry: Registry) -> None:
    assert plan_of(registry, **CHANGES[change]).run_id != plan_of(registry).run_id


@pytest.mark.parametrize("constant", ["ENGINE", "PROTOCOL"])
def test_run_id__changes_with_engine_and_protocol(
    constant: str, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = plan_of(registry).run_id
    monkeypatch.setattr(plan_module, constant, "other")
    assert plan_of(registry).run_id != before


def test_run_id__changes_with_version_of_a_part_and_of_a_model(registry: Registry) -> None:
    plan = plan_of(registry)
    part = plan.slots["generator"].model_copy(update={"version": "2"})
    student = plan.student.model_copy(update={"version": "2"})
    changed = [
        plan.model_copy(update={"slots": {**plan.slots, "generator": part}}),
        plan.model_copy(update={"student": student}),
    ]
    assert len({plan.run_id, *(other.run_id for other in changed)}) == 3


def test_run_id__does_not_depend_on_where_a_value_comes_from(registry: Registry) -> None:
    preset = replace(METHOD, presets=(Preset({"student.lr": 0.5}),))
    assert plan_of(registry, method=preset).run_id == plan_of(registry, settings=["student.lr=0.5"]).run_id


def test_run_id__student_update_counts_where_it_is_set_and_leaves_no_trace_where_it_is_not(registry: Registry) -> None:
    method = replace(METHOD, recipe=RECIPE.model_copy(update={"student_update": StudentUpdateOptions(alpha=0.5)}))
    plan = plan_of(registry)
    other = plan.model_copy(update={"recipe": method.recipe})
    assert "student_update" not in plan.model_dump(mode="json")["recipe"]
    assert other.model_dump(mode="json")["recipe"]["student_update"]["alpha"] == 0.5
    assert plan.run_id != other.run_id
    assert plan_of(registry, settings=["student_update.kind=joint"]).run_id == plan.run_id
    for one in (plan, other):
        assert Plan.model_validate_json(one.model_dump_json()) == one


def test_run_id__is_a_folder_name(registry: Registry) -> None:
    assert "/" not in plan_of(registry, method=replace(METHOD, name="lab/toy")).run_id


def test_rounds__until_the_budget_is_used(registry: Registry) -> None:
    plan = plan_of(registry, settings=["phases.distil.student_steps=3", "phases.distil.generator_steps=2"])
    assert [phase.rounds for phase in plan.phases] == [33]
    assert (plan.student_steps, plan.generator_steps) == (99, 66)
    assert plan.student_steps * 100 <= BUDGET.student_samples


def test_rounds__what_fixed_phases_leave(registry: Registry) -> None:
    method = with_phases(warm=Phase(rounds=30, student_steps=0), early=Phase(rounds=20), rest=Phase(student_steps=2))
    plan = plan_of(registry, method=method)
    assert {phase.name: phase.rounds for phase in plan.phases} == {"warm": 30, "early": 20, "rest": 40}
    assert (plan.student_steps, plan.generator_steps) == (100, 90)


def test_rounds__replayed_images_count(
    make_distribution: Callable[..., str], registry_of_site: RegistryOf, registry: Registry
) -> None:
    make_distribution(
        "toy-replay",
        """
        from dfkdbench.descriptors import Component
        from dfkdbench.hookspecs import hookimpl
        API = 1
        @hookimpl
        def dfkdbench_replays():
            return [Component(kind="replay", name="toy", target="x:y", summary="Toy.")]
        """,
    )
    settings = ["replay=toy", "replay_fraction=0.25"]
    plan = plan_of(registry_of_site(), settings=settings)
    assert (plan.replay_size, plan.student_steps) == (25, 80)
    assert plan_of(registry).replay_size == 0
    assert plan.participants == {"dfkdbench", "toy-lab", "toy-replay"}


def test_participants__the_architectures_of_teacher_and_student_take_part(
    make_distribution: Callable[..., str], registry_of_site: RegistryOf
) -> None:
    for name in ("teacher", "student"):
        make_distribution(
            f"toy-{name}",
            f"""
            from dfkdbench.descriptors import ModelSpec
            from dfkdbench.hookspecs import hookimpl
            API = 1
            @hookimpl
            def dfkdbench_models():
                return [ModelSpec(name="toy_{name}", target="x:y", summary="Toy.")]
            """,
        )
    plan = plan_of(registry_of_site(), pair="toy_teacher:toy_student")
    assert plan.participants == {"dfkdbench", "toy-lab", "toy-teacher", "toy-student"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"settings": ["batch_size=10001"]}, "has 10,000 student samples; one round of phase 'distil' takes 10,001"),
        ({"settings": ["phases.distil.rounds=101"]}, "trains the student on 10,100 images; the budget 'quick'"),
        ({"settings": ["phases.distil.student_steps=0"]}, "The phase 'distil' trains no student; it needs rounds."),
        (
            {"settings": ["phases.distil.student_steps=0", "phases.distil.rounds=5"]},
            "No phase of the recipe trains the student.",
        ),
        ({"method": with_phases(one=Phase(), two=Phase())}, "one and two have no rounds"),
        ({"method": with_phases(one=Phase(rounds=100), two=Phase())}, "other phases take 10,000"),
    ],
)
def test_budget__refused(changes: dict[str, Any], said: str, registry: Registry) -> None:
    assert said in refusal(registry, **changes)


def test_budget__exactly_used(registry: Registry) -> None:
    assert plan_of(registry, settings=["phases.distil.rounds=100"]).student_steps == 100


def test_budget__paper_tier_needs_the_methods_own_steps(registry: Registry) -> None:
    paper = registry.datasets.get("digits").item.budgets["paper"]
    said = refusal(registry, budget=paper, budget_name="paper")
    assert "the method has none for digits (lenet_s:lenet_xs)" in said
    assert "--set phases.distil.rounds=N" in said
    assert "smoke, quick, standard" in said


def test_budget__paper_tier_with_a_preset(registry: Registry) -> None:
    paper = registry.datasets.get("digits").item.budgets["paper"]
    preset = Preset({"phases.distil.rounds": 700}, dataset="digits", budget="paper", source="their table 2")
    plan = plan_of(registry, method=replace(METHOD, presets=(preset,)), budget=paper, budget_name="paper")
    assert plan.student_steps == 700


@pytest.mark.parametrize(("steps", "evaluations"), [(100, 10), (97, 10), (3, 10), (10, 1), (1, 5)])
def test_evaluate_at__rises_evenly_to_the_end(steps: int, evaluations: int, registry: Registry) -> None:
    budget = replace(BUDGET, evaluations=evaluations)
    points = plan_of(registry, settings=[f"phases.distil.rounds={steps}"], budget=budget).evaluate_at
    assert len(points) == min(steps, evaluations)
    assert points[-1] == steps
    gaps = {later - earlier for earlier, later in zip((0, *points), points, strict=False)}
    assert min(gaps) >= 1
    assert max(gaps) - min(gaps) <= 1


def test_plan__says_what_the_worker_needs(registry: Registry) -> None:
    plan = plan_of(registry, settings=["losses.one_hot.weight=0.25"])
    loss = plan.losses["one_hot"]
    assert (loss.weight, loss.kind, loss.distribution) == (0.25, "loss", "dfkdbench")
    assert loss.needs == ("input_gradients", "soft_labels")
    assert plan.slots["generator"].options_type.endswith(":ConvOptions")
    assert (plan.league, plan.side) == ("input-gradients", "worker")
    assert plan.input.mean == registry.datasets.get("digits").item.mean


def test_plan__holds_no_accuracy_and_no_path(registry: Registry) -> None:
    text = json.dumps(plan_of(registry).model_dump(mode="json"))
    assert "accuracy" not in text
    assert os.getcwd() not in text  # noqa: PTH109 - compared as text


def test_plan__real_samples_stay_with_the_judge(registry: Registry) -> None:
    method = replace(METHOD, recipe=Recipe(generator=PartChoice(name="noise")), access=frozenset({"real_samples"}))
    plan = plan_of(registry, method=method)
    assert (plan.side, plan.league) == ("judge", "soft-labels+real-samples")
