"""Rounds of a run: each as Python has it, or repeated as a program that was captured from one where that is the same.

Capturing is an exact shortcut as those of `dfkdbench.shortcuts`: it is in the run's record with the reason where it was
not done, and in no run id.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from dfkdbench.assembly import Assembly
from dfkdbench.loop import StandardLoop
from dfkdbench.meter import Tally
from dfkdbench.plan import Plan
from dfkdbench.reports import Capture
from dfkdbench.shortcuts import SHORTCUTS, is_taken

WARM_UP = 2
"""Rounds of a phase before one is captured: optimisers make their moments, and libraries choose their kernels."""

LONGEST_ROUND = 64
"""Steps of a round that a graph may hold; each is some hundred kernels."""

_LONGEST_REASON = 500


class Rounds(Protocol):
    """What a session has of its loop."""

    @property
    def capture(self) -> Capture:
        """How rounds are run, and why not otherwise."""
        ...

    def advance(self) -> None:
        """One round."""
        ...


class Recorder(Protocol):
    """Makes a program of what the device is asked to do."""

    def watch(self) -> AbstractContextManager[object]:
        """Within it, what can't be recorded raises an error where it is asked for."""
        ...

    def record(self, run: Callable[[], None]) -> Callable[[], None]:
        """What does the same as `run` to the same memory, without Python. `run` itself may or may not have an effect.

        Raises:
            Exception: Whatever stood in the way. Random generators can be set again afterwards.
        """
        ...


class NotCapturedError(Exception):
    """Why a round stays as it is."""


class EagerRounds:
    """The loop's own rounds.

    Args:
        why: They are not captured.
    """

    def __init__(self, assembly: Assembly, why: str) -> None:
        self.capture = Capture(state="eager", why=why)
        self._assembly = assembly

    def advance(self) -> None:
        """One round."""
        self._assembly.loop.advance()


class Trial:
    """The state of a run at a moment, to which rounds that are only tried go back.

    Attributes:
        state: A copy of what the run's parts hold.
        tally: What its meter held.
    """

    def __init__(self, assembly: Assembly) -> None:
        self._assembly = assembly
        self.state = copy_of(assembly.state_dict())
        self.tally = assembly.meter.tally()

    def undo(self) -> None:
        """Puts everything back, in place."""
        self._assembly.load_state_dict(copy_of(self.state))
        self._assembly.meter.take_back(self.tally)


class _Program(NamedTuple):
    """A captured round, and what it spends and adds to means without telling."""

    repeat: Callable[[], None]
    spent: Mapping[str, int]
    counts: Mapping[str, int]


class RecordedRounds:
    """Rounds of the standard loop, recorded once in every phase and then repeated.

    A recording is used where two repetitions of it leave every part with the state, to the bit, that two eager rounds
    leave it with. That finds rounds that differ from one another, state that is kept on the host, and state that is
    made anew in place of being changed. What was tried leaves no trace.
    """

    def __init__(self, assembly: Assembly, loop: StandardLoop, recorder: Recorder) -> None:
        self._assembly, self._loop, self._recorder = assembly, loop, recorder
        self._phase = ""
        self._left_to_warm_up = 0
        self._program: _Program | None = None
        self._refused: dict[str, str] = {}
        self._captured: list[str] = []

    @property
    def capture(self) -> Capture:
        """How the phases so far were run. With several, `why` names those that stayed eager."""
        several = len(self._assembly.parts.phases) > 1
        reasons = [f"{phase}: {why}" if several else why for phase, why in self._refused.items()]
        if not self._captured and not reasons:
            reasons = [f"the first {WARM_UP} rounds of a start are never captured"]
        return Capture(state="graph" if self._captured else "eager", why="; ".join(reasons)[:_LONGEST_REASON])

    def advance(self) -> None:
        """One round."""
        if self._phase != self._loop.phase_name:
            self._enter_phase()
        if self._program is None and not self._left_to_warm_up and self._phase not in self._refused:
            self._try_to_capture()
        self._left_to_warm_up = max(0, self._left_to_warm_up - 1)
        if self._program is None:
            self._loop.advance()
            return
        self._assembly.meter.count(self._program.spent, self._program.counts)
        self._program.repeat()
        self._loop.count_round()

    def _enter_phase(self) -> None:
        """Begins to warm up, and finds what can be told of the phase beforehand."""
        self._phase, self._program, self._left_to_warm_up = self._loop.phase_name, None, WARM_UP
        planned = self._loop.planned
        steps = planned.phase.generator_steps + planned.phase.student_steps
        if planned.rounds <= WARM_UP:
            self._refused[self._phase] = f"it has {planned.rounds} rounds, and the first {WARM_UP} are never captured"
        elif steps > LONGEST_ROUND:
            self._refused[self._phase] = f"a round has {steps:,} steps, and up to {LONGEST_ROUND} are captured"

    def _try_to_capture(self) -> None:
        """Sets the program of the phase, or the reason why there is none."""
        trial = Trial(self._assembly)
        try:
            self._program = self._record(trial)
            self._captured.append(self._phase)
        except NotCapturedError as refusal:
            self._refused[self._phase] = str(refusal)
        except Exception as error:  # whatever stands in the way of a shortcut, the round itself is still there
            self._refused[self._phase] = f"capturing failed: {in_short(error)}"
        trial.undo()

    def _record(self, trial: Trial) -> _Program:
        run, meter = self._loop.run_round, self._assembly.meter
        expected, done = [], []
        for _ in range(2):
            before = meter.tally()
            with self._recorder.watch():
                run()
            expected.append(self._state())
            done.append(_beyond(meter.tally(), before))
        if done[0] != done[1]:
            raise NotCapturedError("rounds spend or report different amounts")
        trial.undo()
        repeat = self._recorder.record(run)
        trial.undo()
        for state in expected:
            repeat()
            if name := first_difference(state, self._state()):
                raise NotCapturedError(
                    f"a captured round leaves another {name} than an eager one: it is counted on the host, made anew "
                    "in each round, or not the same twice"
                )
        return _Program(repeat, *done[0])

    def _state(self) -> dict[str, Any]:
        """A copy of what the parts hold; loop and meter count for themselves."""
        held = self._assembly.state_dict()
        return {name: copy_of(tree) for name, tree in held.items() if name not in ("loop", "meter")}


def why_eager(plan: Plan, mode: str) -> str:
    """Why rounds of a plan stay eager whatever a phase does, or nothing."""
    if mode == "off":
        return "capture is off"
    if not any(map(is_taken, SHORTCUTS)):
        return "the run is plain, without exact shortcuts"
    if mode != "compile" and not plan.device.startswith("cuda"):
        return "there is no CUDA device"
    if plan.processes > 1:
        return "several processes do the run"
    if plan.loop is not None:
        return "the method has a loop of its own"
    if plan.teachers_apart and mode != "compile":
        return "the teachers answer from another process"
    return ""


def build_rounds(assembly: Assembly, mode: str) -> Rounds:
    """The rounds of an assembled run.

    Args:
        mode: Of `dfkdbench.shortcuts.CAPTURES`.
    """
    why, loop = why_eager(assembly.plan, mode), assembly.loop
    if why or not isinstance(loop, StandardLoop):
        return EagerRounds(assembly, why)
    if mode == "compile":
        from dfkdbench.compiled import CompiledRounds

        return CompiledRounds(assembly, loop)
    from dfkdbench.cudagraphs import GraphRecorder

    return RecordedRounds(assembly, loop, GraphRecorder(assembly.parts.device, assembly.streams))


def copy_of(tree: Any) -> Any:
    """A tree of state with tensors of its own, in their layouts."""
    if isinstance(tree, Tensor):
        return tree.detach().clone()
    if isinstance(tree, Mapping):
        return {name: copy_of(value) for name, value in tree.items()}
    return [copy_of(value) for value in tree] if isinstance(tree, list | tuple) else tree


def first_difference(one: Any, other: Any, name: str = "") -> str:
    """The dotted name of the first place in which two trees of state are not the same to the bit, or nothing."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        same = one.shape == other.shape and one.dtype == other.dtype and torch.equal(one, other)
        return "" if same else name
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        one, other = dict(enumerate(one)), dict(enumerate(other))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in {**one, **other}:
            place = f"{name}.{key}".lstrip(".")
            if key not in one or key not in other:
                return place
            if found := first_difference(one[key], other[key], place):
                return found
        return ""
    return "" if type(one) is type(other) and one == other else name


def in_short(error: BaseException) -> str:
    """The kind of an error, or of the one that it followed, and its first line."""
    cause = error.__context__ or error
    return f"{type(cause).__name__}: {(str(cause).strip().splitlines() or ['?'])[0]}"[:_LONGEST_REASON]


def _beyond(later: Tally, earlier: Tally) -> tuple[dict[str, int], dict[str, int]]:
    """What was spent and counted between two tallies."""
    spent = {name: count - earlier.spent[name] for name, count in later.spent.items()}
    counts = {name: count - earlier.counts.get(name, 0) for name, count in later.counts.items()}
    return spent, {name: count for name, count in counts.items() if count}
