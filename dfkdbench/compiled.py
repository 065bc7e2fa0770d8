"""Networks of a run as the framework's compiler makes them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping

import torch
from torch import nn

from dfkdbench.assembly import Assembly
from dfkdbench.capture import in_short
from dfkdbench.loop import StandardLoop
from dfkdbench.reports import Capture
from dfkdbench.trial import Trial

_OPTIONS: dict[str, str | int | bool | Callable[..., object]] = {"fallback_random": True, "compile_threads": 1}
"""The framework's own random numbers, and a compiler that starts no processes."""


class CompiledRounds:
    """Rounds whose networks run compiled, forward and backward; draws, losses and optimisers stay as they are.

    The first round of every phase is a trial: where it fails, everything is put back, and rounds are eager from
    there on.
    """

    def __init__(self, assembly: Assembly, loop: StandardLoop) -> None:
        self._assembly, self._loop = assembly, loop
        self._phase = ""
        self._networks = _networks_of(assembly)
        self.capture = Capture(state="compile", why="")
        if why := _why_not(assembly):
            self.capture = Capture(state="eager", why=why)
        else:
            for network in self._networks.values():
                network.forward = torch.compile(network.forward, options=_OPTIONS)

    def advance(self) -> None:
        """One round."""
        if self.capture.state == "eager" or self._phase == self._loop.phase_name:
            self._loop.advance()
            return
        self._phase = self._loop.phase_name
        trial = Trial(self._assembly)
        try:
            self._loop.advance()
        except Exception as error:  # whatever stands in the way of a shortcut, the round itself is still there
            self.capture = Capture(state="eager", why=f"compiling failed: {in_short(error)}")
            for network in self._networks.values():
                del network.forward
            trial.undo()
            self._loop.advance()


def _networks_of(assembly: Assembly) -> Mapping[str, nn.Module]:
    """The networks of this process, by name."""
    networks = {f"teacher {number}": network for number, network in enumerate(assembly.teacher_networks)}
    networks["student"] = assembly.student
    if "network" in assembly.plan.slots["generator"].provides:
        networks["generator"] = assembly.generator.network
    return networks


def _why_not(assembly: Assembly) -> str:
    """Why nothing can be compiled, or nothing."""
    if assembly.parts.device.type == "cpu" and not shutil.which(os.environ.get("CXX", "c++")):
        return "there is no C++ compiler"
    if assembly.parts.student_update.kind != "joint":
        return "the student's update calls it with other weights"
    return ""
