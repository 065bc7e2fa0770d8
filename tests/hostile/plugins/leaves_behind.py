"""Leaves something for later: a process, a message to the next run, a full disk; learns more than it counts."""

import copy
import os
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

SNAPSHOTS = Path("../snapshots")


def a_daemon(loop):
    """A process of its own session, whose parent has ended."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            _sleep_for_long()
        os._exit(0)
    os.wait()


def a_child_in_the_background(loop):
    if os.fork() == 0:
        _sleep_for_long()


def a_message_for_the_next_run(loop):
    """The student of one run is the start of the next: twice the budget."""
    place = Path(loop.facts["shared"])
    if place.exists():
        loop.parts.student.load_state_dict(load_file(place))
    honestly = loop.teach

    def teach():
        honestly()
        if loop.steps == loop.total - 1:
            save_file({name: value.contiguous() for name, value in loop.parts.student.state_dict().items()}, place)

    loop.teach = teach


def a_full_disk(loop):
    with Path("filling").open("wb") as file:
        while True:
            file.write(bytes(1 << 16))
            file.flush()


def what_it_learned_uncounted(loop):
    """Trains a copy of the student that nobody watches, ten steps for each that is counted."""
    parts, student = loop.parts, loop.parts.student
    twin = copy.deepcopy(student)
    twin._forward_pre_hooks.clear()
    optimizer = torch.optim.Adam(twin.parameters())
    teacher = parts.teachers[0]

    def teach():
        for _ in range(10):
            images = parts.generator.sample(parts.batch_size).images
            optimizer.zero_grad()
            (twin(images) - teacher(images).logits).abs().mean().backward()
            optimizer.step()
            parts.meter.teacher_queries = 0
        with parts.meter.student_step(parts.batch_size):
            student.load_state_dict(twin.state_dict())

    loop.teach = teach


def _sleep_for_long():
    (SNAPSHOTS / "left.pid").write_text(str(os.getpid()))
    time.sleep(600)
    os._exit(0)
