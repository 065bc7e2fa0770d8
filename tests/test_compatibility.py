"""What goes together: every need that is not met is named, with what would meet it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from dfkdbench.compatibility import check_parts, check_sizes, league_of, needed_access
from dfkdbench.config import Setting, parse_loss, parse_setting, resolve
from dfkdbench.descriptors import Method, ModelSpec
from dfkdbench.errors import PlanError
from dfkdbench.recipe import LossChoice, Phase, Recipe
from dfkdbench.registry import Registry

CELL = ("digits", "resnet_s:resnet_xs", "quick")
METHOD = Method(name="toy", summary="Toy.", recipe=Recipe(losses={"one_hot": LossChoice()}))
PLAIN = ModelSpec(name="plain", target="x:y", summary="Without batch norm.", signals=frozenset({"features", "stages"}))
FULL = replace(PLAIN, name="full", signals=PLAIN.signals | {"batch_norm"})
BARE = replace(PLAIN, name="bare", signals=frozenset())

NEEDY = """
    from dfkdbench.descriptors import Component
    from dfkdbench.hookspecs import hookimpl

    API = 1

    @hookimpl
    def dfkdbench_losses():
        def loss(name, *needs):
            return Component(
                kind="loss", name=name, target="x:y", summary="Toy.", role="image", needs=frozenset(needs)
            )
        return [
            loss("of_labels", "labels"),
            loss("of_stages", "stages"),
            loss("of_student_features", "student_features"),
            loss("of_several", "several_teachers"),
            loss("of_heads", "several_teachers", "student_heads"),
            loss("of_means", "batch_norm_means"),
        ]

    @hookimpl
    def dfkdbench_generators():
        return [
            Component(
                kind="generator", name="labelled", target="x:y", summary="Toy.",
                provides=frozenset({"labels", "images_with_gradient"}),
            )
        ]
"""


@pytest.fixture
def needy(make_distribution: Callable[..., str], registry_of_site: Callable[[], Registry]) -> Registry:
    make_distribution("needy", NEEDY)
    return registry_of_site()


def check(
    registry: Registry,
    *settings: str,
    method: Method = METHOD,
    teacher: ModelSpec = FULL,
    student: ModelSpec = FULL,
    teachers: int = 1,
    layers: Sequence[Setting] = (),
) -> None:
    overrides = [*(parse_setting(text) for text in settings), *layers]
    check_parts(method, resolve(registry, method, CELL, overrides), teacher, student, teachers)


def refusal(registry: Registry, *settings: str, **case: object) -> str:
    with pytest.raises(PlanError) as caught:
        check(registry, *settings, **case)  # type: ignore[arg-type]
    return caught.value.message


def test_batch_norm__teacher_without(registry: Registry) -> None:
    said = refusal(registry, "losses.batch_norm.weight=1", teacher=PLAIN)
    assert "The loss 'batch_norm' needs batch-norm statistics, and the teacher 'plain' has no batch norm." in said
    assert "(--loss batch_norm=0)" in said
    assert "dfkdbench list models" in said
    check(registry, "losses.batch_norm.weight=1", teacher=FULL, student=BARE)
    check(registry, "losses.batch_norm.weight=0", teacher=PLAIN)


def test_batch_norm_means__come_with_batch_norm_and_are_features(needy: Registry) -> None:
    said = refusal(needy, "losses.of_means.weight=1", teacher=PLAIN)
    assert "The loss 'of_means' needs batch-norm statistics, and the teacher 'plain' has no batch norm." in said
    check(needy, "losses.of_means.weight=1")
    resolved = resolve(needy, METHOD, CELL, [parse_setting("losses.of_means.weight=1")])
    assert "features" in needed_access(METHOD, resolved)


@pytest.mark.parametrize(("loss", "signal"), [("activation", "features"), ("of_stages", "stages")])
def test_signals__teacher_without(loss: str, signal: str, needy: Registry) -> None:
    said = refusal(needy, f"losses.{loss}.weight=1", teacher=BARE)
    assert f"The loss '{loss}' needs the teacher's {signal}, which the model 'bare' does not give." in said
    check(needy, f"losses.{loss}.weight=1", teacher=PLAIN)


def test_signals__student_without(needy: Registry) -> None:
    said = refusal(needy, "losses.of_student_features.weight=1", student=BARE)
    assert "needs the student's features, which the model 'bare' does not give" in said
    check(needy, "losses.of_student_features.weight=1", student=PLAIN, teacher=BARE)


def test_labels__generator_gives_none(needy: Registry) -> None:
    said = refusal(needy, "losses.of_labels.weight=1")
    assert "The loss 'of_labels' needs labelled images, and the generator 'conv' gives none." in said
    check(needy, "losses.of_labels.weight=1", "generator=labelled")


def test_several_teachers__there_is_one(needy: Registry) -> None:
    assert "needs several teachers; there is 1. Say --teachers 3." in refusal(needy, "losses.of_several.weight=1")
    check(needy, "losses.of_several.weight=1", "aggregator=mean", teachers=2)


def test_heads__student_without(needy: Registry) -> None:
    said = refusal(needy, "losses.of_heads.weight=1", "aggregator=mean", teachers=3)
    assert "The loss 'of_heads' needs the student's heads, which the model 'full' does not give." in said
    assert "dfkdbench list models" in said


@pytest.mark.parametrize("teachers", [2, 4])
def test_heads__another_number_than_teachers(needy: Registry, teachers: int) -> None:
    student = replace(FULL, name="mh3", signals=FULL.signals | {"heads"}, heads=3)
    choice = ("losses.of_heads.weight=1", "aggregator=mean")
    said = refusal(needy, *choice, student=student, teachers=teachers)
    assert f"'mh3' has 3 heads and there are {teachers} teachers. Say --teachers 3" in said
    check(needy, *choice, student=student, teachers=3)


def test_aggregator__first_of_three_teachers(registry: Registry) -> None:
    said = refusal(registry, teachers=3)
    assert "3 teachers were asked for, and the aggregator 'first' listens to one." in said
    assert "--aggregator mean" in said
    check(registry, "aggregator=mean", teachers=3)


@pytest.mark.parametrize("setting", ["phases.distil.order=student_first", "phases.distil.generator_steps=0"])
def test_shared_images__need_a_generator_step_before(setting: str, registry: Registry) -> None:
    said = refusal(registry, "phases.distil.student_images=shared", setting)
    assert "Phase 'distil' has student_images=shared, which needs a generator step before the student step" in said
    check(registry, "phases.distil.student_images=shared")
    check(registry, setting)


def test_student_losses__none_left(registry: Registry) -> None:
    assert "No student loss is left." in refusal(registry, "student_losses.kl.weight=0")


def test_own_loop__refuses_what_it_does_not_honour(registry: Registry) -> None:
    own = replace(METHOD, loop="x:Loop", honours=frozenset({"generator"}))
    check(registry, "generator=frozen", method=own)
    said = refusal(registry, method=own, layers=[parse_loss(registry, "one_hot=2"), ("replay", "none", "--replay")])
    assert "'toy' runs a loop of its own that does not use losses, replay; it honours generator." in said


def test_own_loop__presets_are_the_methods_own_matter(registry: Registry) -> None:
    own = replace(METHOD, loop="x:Loop", honours=frozenset())
    check(registry, method=own, layers=[("replay", "none", "preset: theirs")])


def test_sizes__model_does_not_take_the_images(registry: Registry) -> None:
    digits, small = registry.datasets.get("digits").item, replace(PLAIN, image_sizes=(28, 32))
    with pytest.raises(PlanError, match="'plain' takes images of 28 or 32 pixels; those of digits have 16"):
        check_sizes(digits, FULL, small)
    check_sizes(digits, FULL, replace(PLAIN, image_sizes=(16,)))


@pytest.mark.parametrize(
    ("access", "league"),
    [
        (set(), "none"),
        ({"hard_labels"}, "hard-labels"),
        ({"hard_labels", "soft_labels"}, "soft-labels"),
        ({"soft_labels", "input_gradients"}, "input-gradients"),
        ({"batch_norm", "features", "soft_labels"}, "batch-norm"),
        ({"soft_labels", "class_names", "external_prior"}, "soft-labels+class-names+external-prior"),
        ({"real_samples", "soft_labels"}, "soft-labels+real-samples"),
    ],
)
def test_league_of(access: set[str], league: str) -> None:
    assert league_of(frozenset(access)) == league


def test_needed_access__of_method_and_parts(needy: Registry) -> None:
    method = replace(METHOD, access=frozenset({"final_layer"}))
    resolved = resolve(needy, method, CELL, [("losses.of_stages.weight", 1.0, "--loss")])
    assert needed_access(method, resolved) == {"final_layer", "soft_labels", "input_gradients", "features"}


def test_shared_images__each_phase_is_looked_at(registry: Registry) -> None:
    phases = {"one": Phase(rounds=1), "two": Phase(student_images="shared", order="student_first")}
    method = replace(METHOD, recipe=METHOD.recipe.model_copy(update={"phases": phases}))
    assert "Phase 'two'" in refusal(registry, method=method)


def test_phase__whose_losses_are_all_left_out(registry: Registry) -> None:
    losses = {"one_hot": LossChoice(), "class_entropy": LossChoice()}
    recipe = Recipe(losses=losses, phases={"start": Phase(rounds=2, losses=("one_hot",)), "distil": Phase()})
    method = replace(METHOD, recipe=recipe)
    check(registry, method=method)
    said = refusal(registry, "losses.one_hot.weight=0", method=method)
    assert "Phase 'start' trains the generator, and none of its losses (one_hot) is left." in said
    check(registry, "losses.one_hot.weight=0", "phases.start.generator_steps=0", method=method)


MEMORIES = """
    from dfkdbench.descriptors import Component
    from dfkdbench.hookspecs import hookimpl

    API = 1

    @hookimpl
    def dfkdbench_generators():
        labels = frozenset({"labels"})
        return [Component(kind="generator", name="labelled", target="x:y", summary="Toy.", provides=labels)]

    @hookimpl
    def dfkdbench_replays():
        return [
            Component(kind="replay", name="with_labels", target="x:y", summary="Toy.", provides=frozenset({"labels"})),
            Component(kind="replay", name="without_labels", target="x:y", summary="Toy."),
        ]
"""


def test_remembered_images__without_labels_are_refused_where_a_student_loss_needs_them(
    make_distribution: Callable[..., str], registry_of_site: Callable[[], Registry]
) -> None:
    make_distribution("memories", MEMORIES)
    registry = registry_of_site()
    labelled = ("generator=labelled", "student_losses.cross_entropy.weight=1.0")
    check(registry, *labelled, "replay=with_labels")
    check(registry, "generator=labelled", "replay=without_labels")
    with pytest.raises(PlanError, match=r"'cross_entropy' needs labelled images.*'without_labels' remembers no labels"):
        check(registry, *labelled, "replay=without_labels")


META = "student_update.kind=meta_retain"

NEEDY_STUDENT = """
    from dfkdbench.descriptors import Component
    from dfkdbench.hookspecs import hookimpl

    API = 1

    @hookimpl
    def dfkdbench_replays():
        return [Component(kind="replay", name="toy_memory", target="x:y", summary="Toy.")]

    @hookimpl
    def dfkdbench_losses():
        return [
            Component(
                kind="loss", name="of_statistics", target="x:y", summary="Toy.", role="student",
                needs=frozenset({"batch_norm"}),
            )
        ]
"""


@pytest.fixture
def with_memory(make_distribution: Callable[..., str], registry_of_site: Callable[[], Registry]) -> Registry:
    make_distribution("needy-student", NEEDY_STUDENT)
    return registry_of_site()


def test_student_update__without_replay(registry: Registry) -> None:
    said = refusal(registry, META)
    assert "student_update.kind=meta_retain weighs what the student retains of replayed images" in said
    assert "the replay 'none' has no images" in said
    assert "dfkdbench list replays" in said


def test_student_update__replayed_images_that_would_teach_nothing(with_memory: Registry) -> None:
    settings = (META, "replay=toy_memory", "student_update.meta_grad=none")
    said = refusal(with_memory, *settings, "student_update.plain_images=fresh")
    assert "teaches the student nothing about replayed images" in said
    check(with_memory, *settings)
    check(with_memory, META, "replay=toy_memory", "student_update.plain_images=fresh")


def test_student_update__statistics_of_the_whole_batch(with_memory: Registry) -> None:
    settings = ("replay=toy_memory", "student_losses.of_statistics.weight=1")
    said = refusal(with_memory, META, *settings)
    assert "the loss 'of_statistics' needs the teacher's batch-norm statistics" in said
    assert "(--loss of_statistics=0)" in said
    check(with_memory, *settings)


def test_student_update__options_of_the_other_kind_are_not_ignored(with_memory: Registry) -> None:
    said = refusal(with_memory, "student_update.alpha=0.5")
    assert "student_update.alpha is set, and student_update.kind=joint does not use it" in said
    check(with_memory, "student_update.alpha=0.5", META, "replay=toy_memory")
    check(with_memory, "student_update.kind=joint")


def test_student_update__a_loop_of_its_own_that_does_not_use_it(with_memory: Registry) -> None:
    own = replace(METHOD, loop="x:Loop")
    said = refusal(with_memory, META, "replay=toy_memory", method=own)
    assert "runs a loop of its own that does not use student_update" in said
    check(with_memory, META, "replay=toy_memory", method=replace(own, honours=own.honours | {"student_update"}))
