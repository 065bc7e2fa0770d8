"""Distils honestly, but for what the facts say: attempts, whose outcome is written down, and deeds."""

import json
from pathlib import Path

import torch
from hostile import FACTS, cheat

SNAPSHOTS = Path("../snapshots")


class Loop:
    def __init__(self, parts):
        self.parts, self.steps, self.facts, self.found = parts, 0, FACTS, {}
        self.total = sum(planned.rounds for planned in parts.phases)

    @property
    def done(self):
        return self.steps >= self.total

    def advance(self):
        if self.steps == 0:
            self.attempt(FACTS["attempts"])
            for name in FACTS["deeds"]:
                cheat(name)(self)
        if self.steps == self.total - 1:
            self.attempt(FACTS["at_last"])
        self.teach()
        self.steps += 1

    def attempt(self, names):
        for name in names:
            try:
                self.found[name] = {"reached": repr(cheat(name)(self))}
            except Exception as error:
                self.found[name] = {"denied": f"{type(error).__name__}: {error}"}
        if names:
            (SNAPSHOTS / "found.json").write_text(json.dumps(self.found), encoding="utf-8")

    def teach(self):
        parts = self.parts
        images = parts.generator.sample(parts.batch_size).images
        with torch.no_grad():
            target = parts.teachers[0](images).logits
        with parts.meter.student_step():
            loss = (parts.student(images) - target).abs().mean()
            parts.student_stepper.zero_grad()
            loss.backward()
            parts.student_stepper.step()

    def state_dict(self):
        return {"steps": self.steps}

    def load_state_dict(self, state):
        self.steps = state["steps"]
