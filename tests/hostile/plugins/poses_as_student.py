"""Hands out the teacher in the student's place, where the league has it in the worker and the architecture is one."""

import gc

import torch
from torch import nn


def the_teacher_itself(loop):
    _pose(loop, _teacher(loop).state_dict())


def the_teacher_moved_a_little(loop):
    _pose(loop, {name: value * 1.0001 for name, value in _teacher(loop).state_dict().items()})


def the_teacher_with_its_neurons_in_another_order(loop):
    """The same function by other weights."""
    teacher = _teacher(loop)
    layers = [module for module in teacher.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    order = torch.arange(layers[0].out_channels).flip(0)
    weights = {name: value.clone() for name, value in teacher.state_dict().items()}
    names = {id(module): name for name, module in teacher.named_modules()}
    first, second = (names[id(layer)] for layer in layers[:2])
    weights[f"{first}.weight"], weights[f"{first}.bias"] = layers[0].weight[order], layers[0].bias[order]
    weights[f"{second}.weight"] = layers[1].weight[:, order]
    _pose(loop, weights)


def the_teacher_with_sharper_answers(loop):
    """The same decisions: another function, if only by a factor."""
    teacher = _teacher(loop)
    last = [name for name, module in teacher.named_modules() if isinstance(module, nn.Linear)][-1]
    weights = {name: value * (3 if name.startswith(last) else 1) for name, value in teacher.state_dict().items()}
    _pose(loop, weights)


def the_teacher_as_a_start(loop):
    """From weights near enough to know what it knows, and far enough not to be it, it distils as it should."""
    near = {
        name: value + 0.4 * value.std() * torch.randn_like(value) for name, value in _teacher(loop).state_dict().items()
    }
    loop.parts.student.load_state_dict(near)


def _teacher(loop):
    student = loop.parts.student
    found = [each for each in gc.get_objects() if type(each) is type(student) and each is not student]
    return next(each for each in found if not any(weight.requires_grad for weight in each.parameters()))


def _pose(loop, weights):
    loop.parts.student.load_state_dict(weights)

    def pass_the_time():
        with loop.parts.meter.student_step(loop.parts.batch_size):
            pass

    loop.teach = pass_the_time
