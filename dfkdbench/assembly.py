"""Builds networks, parts and loop from a plan, importing only what the run needs."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dfkdbench.access import Teacher, limit_teacher, remote_teacher
from dfkdbench.batchstatistics import synchronise
from dfkdbench.crew import ALONE, Crew, SharedCrew
from dfkdbench.descriptors import SIGNALS
from dfkdbench.errors import PlanError
from dfkdbench.filtering import filter_minimally
from dfkdbench.folding import fold_batch_norms
from dfkdbench.loop import Loop, StandardLoop
from dfkdbench.loopparts import LoopParts, group_losses
from dfkdbench.meter import Meter
from dfkdbench.parts.optimizers import build_optimizer
from dfkdbench.plan import InputSpec, Plan, PlannedModel, PlannedPart
from dfkdbench.precision import place
from dfkdbench.recomputing import recompute_in_backward
from dfkdbench.rng import RandomStreams, derive_seed, seeded_initialisation
from dfkdbench.seams import Batch, Setting, read_signal
from dfkdbench.teacherchannel import Pipes, TeacherChannel
from dfkdbench.unpadding import skip_padding
from dfkdbench.weights import load_weights, read_weights


def import_target(target: str) -> Any:
    """The attribute that "package.module:attribute" names."""
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


def build_network(model: PlannedModel, spec: InputSpec) -> nn.Module:
    """An architecture with freshly initialised weights, on the CPU."""
    network: nn.Module = import_target(model.target)(spec.channels, spec.classes, spec.image_size)
    return network


def build_student(plan: Plan) -> nn.Module:
    """The student; its initial weights depend on data set, pair and seed only, so that methods are paired."""
    with seeded_initialisation(derive_seed("student", plan.input.dataset, plan.pair, plan.seed)):
        return build_network(plan.student, plan.input)


def build_teachers(plan: Plan, weights: Sequence[Path], device: torch.device) -> tuple[nn.Module, ...]:
    """The teachers: frozen, in eval mode, checked against their hashes."""
    teachers = []
    for teacher, path in zip(plan.teachers, weights, strict=True):
        network = build_network(teacher.model, plan.input)
        load_weights(network, read_weights(path, teacher.sha256), f"teacher '{teacher.name}'")
        placed = place(network, plan.recipe.precision, device).eval().requires_grad_(False)
        folded = fold_batch_norms(placed, plan.input.image_shape, plan.recipe.precision)
        teachers.append(filter_minimally(skip_padding(folded, plan.recipe.precision)))
    return tuple(teachers)


def build_untrained(plan: Plan, device: torch.device) -> tuple[nn.Module, ...]:
    """The teachers' architectures, for what their shapes tell; from the same random stream as `build_teachers`."""
    return tuple(build_network(teacher.model, plan.input).to(device).eval() for teacher in plan.teachers)


def ask_through(pipes: Pipes, plan: Plan, meter: Meter) -> tuple[Teacher, ...]:
    """The teachers of another process, once they are loaded.

    Raises:
        IntegrityError: They are not what the plan says.
    """
    classes = plan.input.classes if "soft_labels" in plan.access else None
    channel = TeacherChannel(pipes, plan.input.image_shape, classes)
    channel.wait_until_ready()
    return tuple(remote_teacher(channel, number, plan.access, meter) for number in range(len(plan.teachers)))


class Assembly:
    """Everything of a run that has state, and what it is made with.

    Attributes:
        teacher_networks: The teachers' own networks, where they are in this process. Parts and loops get
            `dfkdbench.access.Teacher`s for them.

    Args:
        weights: Paths of the teachers' weights, in the plan's order.
        real: Labelled real samples, for controls on the judge's side only.
        pipes: To the teachers' own process, where they have one.
        crew: The processes that do the run.
    """

    def __init__(
        self,
        plan: Plan,
        weights: Sequence[Path],
        device: torch.device,
        real: Batch | None = None,
        pipes: Pipes | None = None,
        crew: Crew = ALONE,
    ) -> None:
        self.plan = plan
        self.streams = RandomStreams(plan.seed, device)
        self.meter = Meter(plan.limits)
        student = place(build_student(plan), plan.recipe.precision, device)
        self.student = skip_padding(student, plan.recipe.precision)
        self.meter.watch(self.student)
        if isinstance(crew, SharedCrew) and plan.batch_statistics == "synchronised":
            synchronise(self.student, crew)
        if pipes is None:
            self.teacher_networks = networks = build_teachers(plan, weights, device)
            teachers = tuple(limit_teacher(network, plan.access, self.meter) for network in networks)
        else:
            self.teacher_networks = ()
            networks = build_untrained(plan, device)
            teachers = ask_through(pipes, plan, self.meter)
        setting = self._setting(device, networks, real)
        built = {slot: self._build(part, slot, setting) for slot, part in plan.slots.items()}
        if plan.recipe.gradient_checkpointing:
            made_by = [built["generator"].network] if "network" in plan.slots["generator"].provides else []
            for network in (self.student, *self.teacher_networks, *made_by):
                recompute_in_backward(network)
        image_losses = {name: self._build(part, f"losses.{name}", setting) for name, part in plan.losses.items()}
        student_losses = {
            name: self._build(part, f"student_losses.{name}", setting) for name, part in plan.student_losses.items()
        }
        self.student_stepper = build_optimizer(plan.recipe.student, self.student.parameters(), plan.student_steps)
        self.generator = built["generator"]
        loss_needs = {name: frozenset(part.needs) for name, part in plan.losses.items()}
        parts = LoopParts(
            phases=plan.phases,
            batch_size=plan.recipe.batch_size,
            replay_size=plan.replay_size,
            teachers=teachers,
            student=self.student,
            student_stepper=self.student_stepper,
            generator=self.generator,
            generator_learns=bool(plan.losses) and "images_with_gradient" in plan.slots["generator"].provides,
            losses=group_losses(_entries(image_losses, plan.losses)),
            loss_needs=loss_needs,
            combiner=built["combiner"],
            student_losses=group_losses(_entries(student_losses, plan.student_losses)),
            replay=built["replay"],
            aggregator=built["aggregator"],
            target_wants=_target_wants(plan),
            meter=self.meter,
            device=device,
            precision=plan.recipe.precision,
            student_update=plan.recipe.student_update,
            crew=crew,
        )
        self.parts = parts
        self.loop: Loop = (import_target(plan.loop) if plan.loop else StandardLoop)(parts)
        self._stateful: dict[str, Any] = {
            "student": self.student,
            "student_stepper": self.student_stepper,
            "streams": self.streams,
            "meter": self.meter,
            "loop": self.loop,
            **built,
            **{f"losses.{name}": loss for name, loss in image_losses.items()},
            **{f"student_losses.{name}": loss for name, loss in student_losses.items()},
        }

    def state_dict(self) -> dict[str, Any]:
        """The whole state, the framework's own generators included."""
        state = {name: part.state_dict() for name, part in self._stateful.items()}
        state["global_rng"] = torch.get_rng_state()
        if torch.cuda.is_available() and self.parts.device.type == "cuda":
            state["cuda_rng"] = torch.cuda.get_rng_state(self.parts.device)
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes a whole state back. Random streams come last, so that building leaves no trace in them."""
        for name, part in self._stateful.items():
            part.load_state_dict(state[name])
        self.streams.load_state_dict(state["streams"])
        torch.set_rng_state(state["global_rng"])
        if "cuda_rng" in state:
            torch.cuda.set_rng_state(state["cuda_rng"], self.parts.device)

    def _setting(self, device: torch.device, teachers: tuple[nn.Module, ...], real: Batch | None) -> Setting:
        plan, shape = self.plan, self.plan.input.image_shape
        return Setting(
            classes=plan.input.classes,
            image_shape=shape,
            device=device,
            batch_size=plan.recipe.batch_size,
            replay_size=plan.replay_size,
            generator_steps=plan.generator_steps,
            student_steps=plan.student_steps,
            teacher_count=len(teachers),
            teacher_shapes=_signal_shapes(teachers[0], shape, device),
            rng=self.streams,
            real=real,
            final_layer=final_layer(teachers[0]) if "final_layer" in plan.access else None,
            pixel_mean=plan.input.mean,
            pixel_std=plan.input.std,
            precision=plan.recipe.precision,
        )

    def _build(self, part: PlannedPart, role: str, setting: Setting) -> Any:
        options = import_target(part.options_type).model_validate(part.options, strict=False)
        with seeded_initialisation(derive_seed(self.plan.seed, role)):
            built = import_target(part.target)(options, setting.for_role(role))
        return built.to(setting.device) if isinstance(built, nn.Module) else built


def final_layer(network: nn.Module) -> Tensor:
    """Weights (K, D) of the last linear layer.

    Raises:
        PlanError: The network has no linear layer.
    """
    layers = [module for module in network.modules() if isinstance(module, nn.Linear)]
    if not layers:
        raise PlanError(f"The teacher ({type(network).__name__}) has no linear layer whose weights could be read.")
    return layers[-1].weight.detach().clone()


def _target_wants(plan: Plan) -> frozenset[str]:
    """Signals of the teachers that student losses and replay look at."""
    parts = [*plan.student_losses.values(), plan.slots["replay"]]
    return frozenset(need for part in parts for need in part.needs if need in SIGNALS)


def _entries(losses: Mapping[str, Any], planned: Mapping[str, PlannedPart]) -> dict[str, Any]:
    return {name: (loss, planned[name].weight, frozenset(planned[name].needs)) for name, loss in losses.items()}


def _signal_shapes(teacher: nn.Module, shape: tuple[int, int, int], device: torch.device) -> dict[str, tuple[int, ...]]:
    """Shapes of the teacher's signals for one image, from a forward pass on zeros."""
    wants = frozenset({"features", "stages", "batch_norm", "batch_norm_means"})
    with torch.no_grad():
        signal = read_signal(teacher, torch.zeros(2, *shape, device=device), wants)
    shapes: dict[str, tuple[int, ...]] = {}
    if signal.features is not None:
        shapes["features"] = tuple(signal.features.shape[1:])
    if signal.batch_norm:
        shapes["batch_norm"] = (len(signal.batch_norm),)
        shapes["batch_norm_means"] = tuple(means.shape[1] for means in signal.batch_norm_means)
    if signal.stages:
        shapes["stages"] = tuple(stage.shape[1] for stage in signal.stages)
    return shapes
