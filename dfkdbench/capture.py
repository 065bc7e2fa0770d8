"""Rounds of a run: each as Python has it, or repeated as a program that was captured from one where that is the same.

Capturing is an exact shortcut as those of `dfkdbench.shortcuts`: it is in the run's record with the reason where it was
not done, and in no run id.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple, Protocol

from dfkdbench.assembly import Assembly
from dfkdbench.loop import Loop, StandardLoop
from dfkdbench.meter import Tally
from dfkdbench.plan import Plan
from dfkdbench.reports import Capture
from dfkdbench.shortcuts import SHORTCUTS, is_taken
from dfkdbench.trial import Trial, first_difference, parts_of, undo_all

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

    def beside(self, runs: Sequence[Callable[[], None]]) -> Callable[[], None]:
        """All of these in one, beside each other where the device has that. They share nothing that they change."""
        ...

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


class Lane(NamedTuple):
    """A run whose rounds are run here.

    Attributes:
        own: Makes the block for what concerns this run alone. Where several are run it has the run's own random
            numbers of the framework, and an error ends that run and no other.
        guarded: The same for what draws no numbers.
    """

    assembly: Assembly
    own: Callable[[], AbstractContextManager[object]] = nullcontext
    guarded: Callable[[], AbstractContextManager[object]] = nullcontext

    @property
    def loop(self) -> Loop:
        """What drives its parts."""
        return self.assembly.loop


class EagerRounds:
    """The loops' own rounds.

    Args:
        why: They are not captured.
    """

    def __init__(self, lanes: Sequence[Lane], why: str) -> None:
        self.capture = Capture(state="eager", why=why, together=len(lanes))
        self._lanes = lanes

    def keep(self, lanes: Sequence[Lane]) -> None:
        """Goes on with these of its lanes alone."""
        self._lanes = lanes

    def advance(self) -> None:
        """One round of each."""
        _advance_each(self._lanes)


class _Amounts(NamedTuple):
    """What a round spends and how many values it adds to means."""

    spent: Mapping[str, int]
    counts: Mapping[str, int]


class _Program(NamedTuple):
    """A captured round of every lane, and what each does without telling."""

    repeat: Callable[[], None]
    amounts: Sequence[_Amounts]


class RecordedRounds:
    """Rounds of the standard loop, recorded once in every phase and then repeated; those of several runs as one.

    A recording is used where two repetitions of it leave every part with the state, to the bit, that two eager rounds
    leave it with. That finds rounds that differ from one another, state that is kept on the host, and state that is
    made anew in place of being changed. What was tried leaves no trace.

    Args:
        lanes: Runs of one plan but for the seed. While they are in different phases their rounds are eager.
    """

    def __init__(self, lanes: Sequence[Lane], recorder: Recorder) -> None:
        self._lanes, self._recorder = lanes, recorder
        self._loops = _standard_loops(lanes)
        self._together = len(lanes)
        self._phase = ""
        self._left_to_warm_up = 0
        self._program: _Program | None = None
        self._refused: dict[str, str] = {}
        self._captured: list[str] = []

    @property
    def capture(self) -> Capture:
        """How the phases so far were run. With several, `why` names those that stayed eager."""
        phases = self._lanes[0].assembly.parts.phases
        reasons = [f"{phase}: {why}" if len(phases) > 1 else why for phase, why in self._refused.items()]
        if not self._captured and not reasons:
            reasons = [f"the first {WARM_UP} rounds of a start are never captured"]
        why = "; ".join(reasons)[:_LONGEST_REASON]
        return Capture(state="graph" if self._captured else "eager", why=why, together=self._together)

    def keep(self, lanes: Sequence[Lane]) -> None:
        """Goes on with these of its lanes alone; where they are fewer, a round of theirs is captured anew."""
        if len(lanes) < len(self._lanes):
            self._lanes, self._loops, self._program = lanes, _standard_loops(lanes), None

    def advance(self) -> None:
        """One round of each."""
        phases = {loop.phase_name for loop in self._loops}
        phase = phases.pop() if len(phases) == 1 else ""
        if self._phase != phase:
            self._enter_phase(phase)
        if phase and self._program is None and not self._left_to_warm_up and phase not in self._refused:
            self._try_to_capture()
        self._left_to_warm_up = max(0, self._left_to_warm_up - 1)
        if self._program is None:
            _advance_each(self._lanes)
            return
        for lane, amounts in zip(self._lanes, self._program.amounts, strict=True):
            with lane.guarded():
                lane.assembly.meter.count(*amounts)
        self._program.repeat()
        for lane, loop in zip(self._lanes, self._loops, strict=True):
            with lane.guarded():
                loop.count_round()

    def _enter_phase(self, phase: str) -> None:
        """Begins to warm up, and finds what can be told of the phase beforehand."""
        self._phase, self._program, self._left_to_warm_up = phase, None, WARM_UP
        planned = self._loops[0].planned
        steps = planned.phase.generator_steps + planned.phase.student_steps
        if planned.rounds <= WARM_UP:
            self._refused[planned.name] = f"it has {planned.rounds} rounds, and the first {WARM_UP} are never captured"
        elif steps > LONGEST_ROUND:
            self._refused[planned.name] = f"a round has {steps:,} steps, and up to {LONGEST_ROUND} are captured"

    def _try_to_capture(self) -> None:
        """Sets the program of the phase, or the reason why there is none."""
        trials = [Trial(lane.assembly) for lane in self._lanes]
        try:
            self._program = self._record(trials)
            self._captured.append(self._phase)
        except NotCapturedError as refusal:
            self._refused[self._phase] = str(refusal)
        except Exception as error:  # whatever stands in the way of a shortcut, the round itself is still there
            self._refused[self._phase] = f"capturing failed: {in_short(error)}"
        undo_all(trials)

    def _record(self, trials: Sequence[Trial]) -> _Program:
        run = self._recorder.beside([loop.run_round for loop in self._loops])
        meters = [lane.assembly.meter for lane in self._lanes]
        expected, done = [], []
        for _ in range(2):
            before = [meter.tally() for meter in meters]
            with self._recorder.watch():
                run()
            expected.append([parts_of(lane.assembly) for lane in self._lanes])
            done.append([_beyond(meter.tally(), earlier) for meter, earlier in zip(meters, before, strict=True)])
        if done[0] != done[1]:
            raise NotCapturedError("rounds spend or report different amounts")
        if len(trials) > 1 and first_difference(_common(trials[0].state), _common(expected[1][0])):
            raise NotCapturedError("a round draws the framework's own random numbers, which runs together can't share")
        undo_all(trials)
        repeat = self._recorder.record(run)
        undo_all(trials)
        for states in expected:
            repeat()
            for state, lane in zip(states, self._lanes, strict=True):
                if name := first_difference(state, parts_of(lane.assembly)):
                    raise NotCapturedError(
                        f"a captured round leaves another {name} than an eager one: it is counted on the host, made "
                        "anew in each round, or not the same twice"
                    )
        return _Program(repeat, done[0])


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
    if mode == "compile" and isinstance(assembly.loop, StandardLoop) and not why_eager(assembly.plan, mode):
        from dfkdbench.compiled import CompiledRounds

        return CompiledRounds(assembly, assembly.loop)
    return build_common_rounds([Lane(assembly)], mode)


def build_common_rounds(lanes: Sequence[Lane], mode: str) -> EagerRounds | RecordedRounds:
    """The rounds of assembled runs of one plan but for the seed.

    Args:
        mode: Of `dfkdbench.shortcuts.CAPTURES`, and not compile.
    """
    first = lanes[0].assembly
    why = why_eager(first.plan, mode)
    if why or not isinstance(first.loop, StandardLoop):
        return EagerRounds(lanes, why)
    from dfkdbench.cudagraphs import GraphRecorder

    return RecordedRounds(lanes, GraphRecorder(first.parts.device, [lane.assembly.streams for lane in lanes]))


def in_short(error: BaseException) -> str:
    """The kind of an error, or of the one that it followed, and its first line."""
    cause = error.__context__ or error
    return f"{type(cause).__name__}: {(str(cause).strip().splitlines() or ['?'])[0]}"[:_LONGEST_REASON]


def _advance_each(lanes: Sequence[Lane]) -> None:
    for lane in lanes:
        with lane.own():
            lane.loop.advance()


def _standard_loops(lanes: Sequence[Lane]) -> list[StandardLoop]:
    return [lane.loop for lane in lanes if isinstance(lane.loop, StandardLoop)]


def _common(state: Mapping[str, Any]) -> dict[str, Any]:
    """Of a state, the framework's own random generators: all that a process has once for all its runs."""
    return {name: state[name] for name in ("global_rng", "cuda_rng") if name in state}


def _beyond(later: Tally, earlier: Tally) -> _Amounts:
    """What was spent and counted between two tallies."""
    spent = {name: count - earlier.spent[name] for name, count in later.spent.items()}
    counts = {name: count - earlier.counts.get(name, 0) for name, count in later.counts.items()}
    return _Amounts(spent, {name: count for name, count in counts.items() if count})
