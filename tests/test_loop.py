"""The standard loop on toy networks: order, sharing, counts, replay, resume."""

from __future__ import annotations

import copy

import pytest
import torch
from toys import BATCH, SIZE, Confidence, Disagreement, Mean, ToyGenerator, ToyTeacher, make_parts, run

from dfkdbench.learning import LearningLoss
from dfkdbench.loop import StandardLoop
from dfkdbench.loopparts import group_losses
from dfkdbench.meter import Meter
from dfkdbench.recipe import Phase
from dfkdbench.seams import Stateless


class EachTeacher(Stateless):
    """Checks that every teacher speaks for itself, about all images of the batch."""

    def __init__(self, teachers):
        self.networks = teachers
        self.steps = 0

    def __call__(self, view):
        self.steps += 1
        assert len(view.teachers) == len(self.networks)
        for network, signal in zip(self.networks, view.teachers, strict=True):
            assert not signal.logits.requires_grad
            torch.testing.assert_close(signal.logits, network(view.images).logits)
        assert not torch.allclose(view.teachers[0].logits, view.teachers[1].logits)
        mean = (view.teachers[0].logits + view.teachers[1].logits) / 2
        torch.testing.assert_close(view.teacher.logits, mean)
        return (view.teachers[1].logits - view.student.logits).abs().mean()


def test_shared_images__one_teacher_forward_a_round_and_images_from_before_the_update():
    parts = make_parts(Phase(student_images="shared"))
    run(parts)
    imitation = parts.student_losses.losses["imitation"]
    assert parts.teachers[0].calls == 3
    assert parts.student.calls == 3
    for made, taught in zip(parts.generator.made, imitation.images, strict=True):
        assert torch.equal(made, taught)


def test_fresh_images__each_student_step_samples_its_own():
    parts = make_parts(Phase(student_steps=5))
    run(parts)
    assert parts.teachers[0].calls == 3 * (1 + 5)
    assert len(parts.generator.made) == 3 * (1 + 5)
    assert parts.meter.counters() == {
        "student_steps": 15,
        "student_samples": 15 * BATCH,
        "teacher_queries": 3 * BATCH * 2 + 15 * BATCH,
        "generator_steps": 3,
    }


def test_held_images__one_sample_and_one_target_a_round():
    parts = make_parts(Phase(student_images="held", student_steps=4, rounds=2))
    run(parts)
    imitation = parts.student_losses.losses["imitation"]
    assert len(parts.generator.made) == 2 * (1 + 1)
    assert parts.teachers[0].calls == 2 * (1 + 1)
    assert all(torch.equal(imitation.images[0], images) for images in imitation.images[1:4])
    assert not torch.equal(imitation.images[0], imitation.images[4])


def test_remade_images__the_same_latents_through_the_updated_generator():
    parts = make_parts(Phase(student_images="remade", student_steps=2, rounds=1))
    run(parts)
    made, taught = parts.generator.made[0], parts.student_losses.losses["imitation"].images
    torch.testing.assert_close(taught[0], made * parts.generator.weight.detach())
    assert not torch.equal(taught[0], made)
    assert torch.equal(taught[0], taught[1])


def test_ask__a_loss_may_look_at_other_images_in_their_graph():
    class OtherView(Stateless):
        def __call__(self, view):
            return view.ask(view.images.flip(3)).logits.square().mean()

    parts = make_parts(Phase(student_steps=0, rounds=1), image_losses={"other": (OtherView(), 1.0, frozenset())})
    run(parts)
    assert parts.teachers[0].calls == 2
    assert parts.meter.teacher_queries == 4 * BATCH
    assert not torch.equal(parts.generator.weight, torch.ones(SIZE, SIZE))


def test_ask__reads_no_more_of_the_teacher_than_is_wanted(monkeypatch):
    class OtherView(Stateless):
        def __call__(self, view):
            both = view.ask(view.images.flip(3)).logits, view.ask(view.images, frozenset({"stages"})).logits
            return sum(logits.square().mean() for logits in both)

    needs = frozenset({"batch_norm", "stages"})
    parts = make_parts(Phase(student_steps=0, rounds=1), image_losses={"other": (OtherView(), 1.0, needs)})
    wanted = []
    answer = ToyTeacher.forward
    monkeypatch.setattr(ToyTeacher, "forward", lambda self, images, wants: wanted.append(wants) or answer(self, images))
    run(parts)
    assert wanted == [needs, needs, frozenset({"stages"})]


def test_replay__follows_the_generator_from_the_start():
    parts = make_parts(Phase())
    StandardLoop(parts)
    assert parts.replay.followed is parts.generator


def test_replay__hears_of_every_fit_of_the_generator_also_where_no_student_learns():
    parts = make_parts(
        Phase(generator_steps=2, student_steps=0, rounds=2), Phase(rounds=1), Phase(generator_steps=0, rounds=2)
    )
    run(parts)
    assert parts.replay.learned == [2, 2, 1]


@pytest.mark.parametrize("with_gradient", [False, True])
def test_target_of__a_backward_pass_counts_as_another_query(with_gradient):
    parts = make_parts(Phase())
    target = parts.target_of(torch.randn(BATCH, 1, SIZE, SIZE, requires_grad=with_gradient))
    assert target.logits.requires_grad == with_gradient
    assert parts.meter.teacher_queries == BATCH * (1 + with_gradient)


def test_order__student_first():
    calls = []
    parts = make_parts(Phase(order="student_first", rounds=1))
    fit, sample = parts.generator.fit, parts.generator.sample
    parts.generator.fit = lambda *args: (calls.append("fit"), fit(*args))
    parts.generator.sample = lambda count: (calls.append("sample"), sample(count))[1]
    run(parts)
    assert calls == ["sample", "fit"]


def test_phases__generator_alone_leaves_the_student_untouched():
    parts = make_parts(Phase(student_steps=0))
    before = copy.deepcopy(parts.student.state_dict())
    run(parts)
    assert all(torch.equal(value, before[name]) for name, value in parts.student.state_dict().items())
    assert not torch.equal(parts.generator.weight, torch.ones(SIZE, SIZE))


def test_phases__distillation_alone_leaves_the_generator_untouched():
    parts = make_parts(Phase(generator_steps=0))
    run(parts)
    assert torch.equal(parts.generator.weight, torch.ones(SIZE, SIZE))


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_adversarial_loss__student_weights_get_no_gradient_and_buffers_move_in_train_mode_only(mode):
    losses = {"disagreement": (Disagreement(), 1.0, frozenset({"student"}))}
    parts = make_parts(Phase(student_steps=0, student_mode=mode), image_losses=losses)
    running_mean = parts.student.norm.running_mean.clone()
    run(parts)
    assert all(parameter.grad is None for parameter in parts.student.parameters())
    assert all(parameter.requires_grad for parameter in parts.student.parameters())
    assert torch.equal(parts.student.norm.running_mean, running_mean) == (mode == "eval")
    assert not torch.equal(parts.generator.weight, torch.ones(SIZE, SIZE))


def test_teacher__weights_and_buffers_never_change():
    parts = make_parts(Phase(student_images="shared"), Phase(student_steps=2))
    before = copy.deepcopy(parts.teachers[0].state_dict())
    run(parts)
    assert all(torch.equal(value, before[name]) for name, value in parts.teachers[0].state_dict().items())
    assert not parts.teachers[0].training


def test_replay__remembered_images_stand_behind_the_fresh_ones():
    parts = make_parts(Phase(generator_steps=0, student_steps=2, rounds=1), replay_size=2)
    run(parts)
    first, second = parts.student_losses.losses["imitation"].images
    assert len(first) == BATCH
    assert len(second) == BATCH + 2
    assert torch.equal(second[BATCH:], first[:2])
    assert parts.meter.student_samples == 2 * BATCH + 2


def test_replay__shared_target_is_extended_by_the_remembered_images_only():
    parts = make_parts(Phase(student_images="shared", rounds=2), replay_size=2)
    run(parts)
    imitation = parts.student_losses.losses["imitation"]
    assert parts.teachers[0].calls == 2 + 1
    expected = parts.teachers[0](imitation.images[1]).logits
    torch.testing.assert_close(imitation.targets[1], expected)


@pytest.mark.parametrize("replay_size", [0, 2])
@pytest.mark.parametrize("images", ["fresh", "held", "shared", "remade"])
def test_several_teachers__student_losses_see_each_of_them(images, replay_size):
    teachers = tuple(ToyTeacher().eval().requires_grad_(False) for _ in range(2))
    loss = EachTeacher(teachers)
    parts = make_parts(
        Phase(student_images=images, student_steps=2, rounds=2),
        replay_size=replay_size,
        teachers=teachers,
        aggregator=Mean(),
        student_losses=group_losses({"each": (loss, 1.0, frozenset({"student"}))}),
    )
    run(parts)
    assert loss.steps == 4


def test_several_teachers__a_fresh_student_step_takes_one_forward_pass_of_each():
    teachers = tuple(ToyTeacher().eval().requires_grad_(False) for _ in range(3))
    parts = make_parts(Phase(generator_steps=0, student_steps=5, rounds=1), teachers=teachers, aggregator=Mean())
    run(parts)
    assert [teacher.calls for teacher in teachers] == [5, 5, 5]
    assert parts.meter.teacher_queries == 3 * 5 * BATCH


def test_phase_losses__only_the_named_ones_are_computed():
    losses = {"confidence": (Confidence(), 1.0, frozenset()), "never": (None, 1.0, frozenset())}
    run(make_parts(Phase(losses=("confidence",)), image_losses=losses))


def test_resume__a_loop_taken_up_at_any_round_gives_the_same_student():
    phases = (Phase(student_steps=0, rounds=2), Phase(student_images="shared", rounds=3), Phase(rounds=2))
    undisturbed = make_parts(*phases)
    run(undisturbed)
    for stop in range(1, 7):
        first = make_parts(*phases)
        loop = StandardLoop(first)
        for _ in range(stop):
            loop.advance()
        second = make_parts(*phases)
        second.student.load_state_dict(first.student.state_dict())
        second.student_stepper.load_state_dict(copy.deepcopy(first.student_stepper.state_dict()))
        second.generator.load_state_dict(first.generator.state_dict())
        second.generator.rng.set_state(first.generator.rng.get_state())
        resumed = StandardLoop(second)
        resumed.load_state_dict(loop.state_dict())
        while not resumed.done:
            resumed.advance()
        for name, value in second.student.state_dict().items():
            assert torch.equal(value, undisturbed.student.state_dict()[name]), (stop, name)


def test_meter__means_since_the_last_flush():
    meter = Meter()
    meter.add({"a": torch.tensor(1.0)})
    meter.add({"a": torch.tensor(3.0), "b": torch.tensor(5.0)})
    assert meter.flush() == {"a": 2.0, "b": 5.0}
    assert meter.flush() == {}


def test_originals__a_loss_sees_the_images_before_augmentation():
    class Augmenting(ToyGenerator):
        def fit(self, objective, steps):
            images = self._images(BATCH)
            objective(images.flip(3), None, images)

    class Differ(Stateless):
        def __call__(self, view):
            assert torch.equal(view.images, view.originals.flip(3))
            return view.images.mean()

    entries = {"differ": (Differ(), 1.0, frozenset())}
    run(make_parts(Phase(student_steps=0, rounds=2), image_losses=entries, generator=Augmenting()))


class Diary(LearningLoss, Stateless):
    def __init__(self):
        self.events = []

    def __call__(self, view):
        self.events.append("seen")
        return view.images.square().mean()

    def judge(self, total):
        assert not total.requires_grad
        self.events.append(round(total.item(), 6))

    def settle(self):
        self.events.append("settled")


def test_learning_losses__are_told_every_objective_and_the_end_of_the_call():
    diary = Diary()
    entries = {"diary": (diary, 2.0, frozenset()), "confidence": (Confidence(), 1.0, frozenset())}
    parts = make_parts(Phase(generator_steps=2, rounds=2), image_losses=entries)
    run(parts)
    assert [event for event in diary.events if isinstance(event, str)] == ["seen", "seen", "settled"] * 2
    images = parts.generator.made[0]
    logits = parts.teachers[0](images).logits
    total = 2 * images.square().mean() - logits.log_softmax(1).amax(1).mean()
    assert diary.events[1] == pytest.approx(total.item(), abs=1e-5)


def test_learning_losses__are_left_alone_in_phases_without_them():
    diary = Diary()
    entries = {"diary": (diary, 1.0, frozenset()), "confidence": (Confidence(), 1.0, frozenset())}
    run(make_parts(Phase(losses=("confidence",)), image_losses=entries))
    assert diary.events == []
