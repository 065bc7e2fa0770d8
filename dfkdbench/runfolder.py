"""Where a run keeps its files, and which of them the worker may touch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dfkdbench.errors import DataError, nearest
from dfkdbench.files import empty_folder, touch_no_follow

RESULT_FILE = "result.json"


@dataclass(frozen=True)
class RunFolder:
    """The layout of `runs/<id>/`. The worker reads `plan.json` and `launch.json`, and writes what `writable` names."""

    root: Path

    @property
    def plan(self) -> Path:
        """The resolved plan."""
        return self.root / "plan.json"

    @property
    def launch(self) -> Path:
        """How the worker is started: nothing in it can change the number."""
        return self.root / "launch.json"

    @property
    def handed_launch(self) -> Path:
        """A copy of it that the worker makes, for the processes of a run that has several: they start sealed."""
        return self.scratch / "launch.json"

    @property
    def teacher_launch(self) -> Path:
        """How the teachers' own process is started, where they have one. Closed to the worker."""
        return self.root / "teacher.json"

    @property
    def teacher_log(self) -> Path:
        """What that process printed. Closed to the worker."""
        return self.root / "teacher.log"

    @property
    def environment(self) -> Path:
        """Versions and hardware."""
        return self.root / "env.json"

    @property
    def metrics(self) -> Path:
        """The worker's reports as the judge took them in, one JSON object a line. Closed to the worker."""
        return self.root / "metrics.jsonl"

    @property
    def reports(self) -> Path:
        """The worker's reports as it writes them."""
        return self.scratch / "reports.jsonl"

    @property
    def evaluations(self) -> Path:
        """The judge's evaluations, one JSON object a line. Closed to the worker."""
        return self.root / "evaluations.jsonl"

    @property
    def snapshots(self) -> Path:
        """Student weights at the evaluation points."""
        return self.root / "snapshots"

    @property
    def checkpoints(self) -> Path:
        """The newest whole state."""
        return self.root / "checkpoint"

    @property
    def scratch(self) -> Path:
        """Home, caches and temporary files of the worker."""
        return self.root / "scratch"

    @property
    def worker_log(self) -> Path:
        """What the worker printed."""
        return self.root / "worker.log"

    @property
    def samples(self) -> Path:
        """A sheet of synthetic images."""
        return self.root / "samples.png"

    @property
    def student(self) -> Path:
        """Final student weights."""
        return self.root / "student.safetensors"

    @property
    def readout(self) -> Path:
        """What the judge fitted to the student's heads on real samples, where it did. Closed to the worker."""
        return self.root / "readout.safetensors"

    @property
    def synthetic(self) -> Path:
        """The synthetic images that the figures are of, as the worker handed them over and the judge checked them."""
        return self.root / "synthetic.safetensors"

    @property
    def result(self) -> Path:
        """The record, written last."""
        return self.root / RESULT_FILE

    @property
    def lock(self) -> Path:
        """Held while a judge works on the run."""
        return self.root / "lock"

    def snapshot(self, index: int) -> Path:
        """Weights at an evaluation point, counted from 0."""
        return self.snapshots / f"{index:04d}.safetensors"

    @property
    def raw_samples(self) -> Path:
        """Synthetic images as the worker hands them out."""
        return self.snapshots / "samples.safetensors"

    def writable(self) -> tuple[Path, ...]:
        """What the worker may write."""
        return (self.snapshots, self.checkpoints, self.scratch)

    def create(self) -> None:
        """Makes the folders and an empty report file."""
        for folder in (self.snapshots, self.checkpoints, self.scratch):
            folder.mkdir(parents=True, exist_ok=True)
        touch_no_follow(self.reports)

    def forget(self) -> None:
        """Removes what an earlier run of the id left, the record first."""
        self.result.unlink(missing_ok=True)
        for each in (self.checkpoints, self.snapshots, self.scratch):
            if each.exists():
                empty_folder(each)
        for path in (self.launch, self.synthetic):
            path.unlink(missing_ok=True)


def locate(given: Path) -> Path:
    """The folder of a run, from its path or that of its record.

    Raises:
        DataError: There is no such folder.
    """
    path = given.parent if given.name == RESULT_FILE else given
    if path.is_dir():
        return path
    beside = path.parent if path.parent.is_dir() else Path()
    there = sorted(entry.name for entry in beside.iterdir() if entry.is_dir())
    raise DataError(f"There is no run folder {given}.{nearest(path.name, there)} Expected: runs/ID")
