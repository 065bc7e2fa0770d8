"""Hands the judge what is not a student, not a report, not an end. Each of these is a run of its own."""

import atexit
import hashlib
import json
import os
import pickle
import struct
import time
from pathlib import Path

import torch
from safetensors.torch import save

from dfkdbench.errors import PlanError
from dfkdbench.weights import dump_weights

SNAPSHOTS, CHECKPOINTS, REPORTS = Path("../snapshots"), Path("../checkpoint"), Path("reports.jsonl")


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.write_text, (Path(self.path), "sprung")


def a_pickle_as_snapshot(loop):
    _hand_out(loop, _pickle(loop))


def a_pickle_as_report(loop):
    _say_bytes(_pickle(loop).replace(b"\n", b"") + b"\n")


def a_pickle_as_checkpoint(loop):
    """Named as the newest, with its own hash; then the run is to be resumed."""
    if Path("planted").exists():
        return
    data = _pickle(loop)
    (CHECKPOINTS / f"{10**11:012d}-{hashlib.sha256(data).hexdigest()[:16]}.safetensors").write_bytes(data)
    Path("planted").touch()
    os._exit(1)


def a_pickle_as_samples(loop):
    _replace_samples(loop, _pickle(loop))


def samples_of_absurd_shape(loop):
    _replace_samples(loop, save({"images": torch.zeros(0, 1, 16, 16)}))


def a_folder_as_checkpoint(loop):
    (CHECKPOINTS / "folder" / "in a folder").mkdir(parents=True)


def a_link_as_snapshot(loop):
    (SNAPSHOTS / "0000.safetensors").symlink_to(loop.facts["digits"])
    _report(loop, "snapshot", index=0)


def a_pipe_as_snapshot(loop):
    os.mkfifo(SNAPSHOTS / "0000.safetensors")
    _report(loop, "snapshot", index=0)


def a_link_as_reports(loop):
    REPORTS.unlink()
    REPORTS.symlink_to(loop.facts["sprung"])
    time.sleep(60)


def another_architecture(loop):
    _hand_out(loop, save({"weight": torch.zeros(10, 10)}))


def a_header_of_100_gigabytes(loop):
    _hand_out(loop, struct.pack("<Q", 100 << 30) + b"{" + bytes(1000))


def a_snapshot_of_a_terabyte(loop):
    path = SNAPSHOTS / "0000.safetensors"
    path.touch()
    os.truncate(path, 1 << 40)
    _report(loop, "snapshot", index=0)


def weights_that_are_no_numbers(loop):
    """Past the session, which would end the run as diverged."""
    for index in range(2):
        student = loop.parts.student.state_dict()
        weights = {name: torch.full(value.shape, torch.nan) for name, value in student.items()}
        (SNAPSHOTS / f"{index:04d}.safetensors").write_bytes(save(weights))
        _say(_report_of(loop, "snapshot", index=index, student_steps=(index + 1) * loop.total // 2))
    (SNAPSHOTS / "samples.safetensors").write_bytes(save({"images": loop.parts.generator.sample(32).images}))
    _say(_report_of(loop, "end", status="finished", error=""))
    os._exit(0)


def one_snapshot_again_and_again(loop):
    """A question to the judge each time, were there an answer."""
    for _ in range(3):
        with torch.no_grad():
            next(loop.parts.student.parameters()).mul_(1.01)
        (SNAPSHOTS / "0000.safetensors").write_bytes(dump_weights(loop.parts.student))
        _say(_report_of(loop, "snapshot", index=0))
        time.sleep(1)
    time.sleep(60)


def a_snapshot_too_many(loop):
    (SNAPSHOTS / "0007.safetensors").write_bytes(dump_weights(loop.parts.student))
    _report(loop, "snapshot", index=7)


def an_end_without_snapshots(loop):
    _say(_report_of(loop, "end", status="finished", error=""))
    os._exit(0)


def a_number_that_is_none(loop):
    _say_bytes(json.dumps(_report_of(loop, "progress", seconds=float("nan"))).encode() + b"\n")


def a_number_below_zero(loop):
    _report(loop, "progress", seconds=-1e9)


def a_number_in_words(loop):
    """Where no snapshot is at hand, only the record would meet it."""
    _report(loop, "progress", student_samples="few")


def brackets_without_end(loop):
    _say_bytes(b'{"event": ' + b"[" * 200_000 + b"\n")


def a_line_without_end(loop):
    for _ in range(3):
        _say_bytes(b"x" * (1 << 20))
    time.sleep(60)


def a_status_of_its_own(loop):
    _report(loop, "end", status="finished with honours", error="")


def words_for_the_terminal(loop):
    _say(_report_of(loop, "end", status="failed", error="\x1b[2J\x1b[1;1Haccuracy 99.9 %\r\n\ud800" + "x" * 100_000))
    os._exit(0)


def a_refusal_after_the_start(loop):
    """A run that is refused leaves no record: so a failure would not count."""
    honestly = loop.teach

    def teach():
        if loop.steps == loop.total - 1:
            raise PlanError("This plan can't work, I find only now.")
        honestly()

    loop.teach = teach


def a_refusal_in_the_sessions_words(loop):
    _say(_report_of(loop, "progress"))
    _say({"event": "refused", "error": "This plan can't work."})
    os._exit(65)


def nothing_at_all(loop):
    os._exit(1)


def _pickle(loop):
    return pickle.dumps(Bomb(loop.facts["sprung"]), protocol=2)


def _hand_out(loop, data):
    (SNAPSHOTS / "0000.safetensors").write_bytes(data)
    _report(loop, "snapshot", index=0)


def _replace_samples(loop, data):
    """After the session has written its own."""
    atexit.register((Path.cwd() / SNAPSHOTS / "samples.safetensors").write_bytes, data)


def _report(loop, event, **more):
    """A report, and then silence until the judge has done something about it."""
    _say(_report_of(loop, event, **more))
    time.sleep(60)


def _report_of(loop, event, **more):
    spent = {"seconds": 1.0, "fraction": 0.5, "peak_memory_mb": 1.0, "replay_bytes": 0, "losses": {}}
    counts = {**loop.parts.meter.counters(), "student_steps": loop.total // 2}
    return {"event": event, **spent, **counts, **more}


def _say(report):
    _say_bytes(json.dumps(report).encode() + b"\n")


def _say_bytes(line):
    with REPORTS.open("ab") as file:
        file.write(line)
