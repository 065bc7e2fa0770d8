"""How the processes of a run are started: what stands in its `launch.json`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from dfkdbench.shortcuts import CAPTURES, SHORTCUTS


class TeacherLaunch(BaseModel):
    """How the teachers' own process is started."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    weights: tuple[str, ...]
    threads: int
    shortcuts: tuple[str, ...] = tuple(SHORTCUTS)
    isolation: str
    policy: str


class Launch(BaseModel):
    """How a worker is started. Nothing here can change the number on one machine but by rounding.

    Attributes:
        shortcuts: Those of `dfkdbench.shortcuts` that are in force.
        capture: How rounds may be captured, of `dfkdbench.shortcuts.CAPTURES`.
        teacher_weights: Paths; none where the teachers have a process of their own.
        teacher: How that one is started. The worker is not told.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    teacher_weights: tuple[str, ...]
    threads: int
    shortcuts: tuple[str, ...] = tuple(SHORTCUTS)
    capture: str = CAPTURES[0]
    checkpoint_seconds: float
    report_seconds: float
    isolation: str
    policy: str
    cores: tuple[int, ...] = ()
    """Where the process may run; anywhere where there are none."""
    teacher: TeacherLaunch | None = Field(default=None, exclude=True)
    processes: int = 1
    """Those of the plan."""
    data_root: str | None = None
    """Given to controls on the judge's side only; None for every sealed worker."""
