"""Descriptions of the built-in executors. Imports neither torch nor what the extras bring."""

from __future__ import annotations

from dfkdbench.executors.descriptor import ExecutorSpec

EXECUTORS: tuple[ExecutorSpec, ...] = (
    ExecutorSpec(
        name="local",
        target="dfkdbench.executors.local:LocalExecutor",
        options="dfkdbench.executors.local:LocalOptions",
        summary="This machine: as many runs at a time as its cores, memory and GPUs hold.",
    ),
    ExecutorSpec(
        name="ray",
        target="dfkdbench.executors.cluster:RayExecutor",
        options="dfkdbench.executors.cluster:RayOptions",
        summary="A Ray cluster: one that runs, or one that is started on this machine.",
        extra="ray",
        requires="ray",
        elsewhere=True,
    ),
    ExecutorSpec(
        name="slurm",
        target="dfkdbench.executors.slurm:SlurmExecutor",
        options="dfkdbench.executors.slurm:SlurmOptions",
        summary="SLURM through submitit: job arrays that are requeued when they are pre-empted.",
        extra="slurm",
        requires="submitit",
        elsewhere=True,
    ),
)
"""Every built-in executor, the default first."""
