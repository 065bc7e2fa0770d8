"""Some rounds of runs in double precision, alone or by torchrun: `rounds.py FOLDER CASES`.

CASES is a JSON list of (name, fields of a request, rounds). The first process writes NAME.safetensors, the student, and
NAME.json, the counts; every process writes NAME.RANK.txt, the hash of its whole state.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch

from dfkdbench import assembly
from dfkdbench.bench import Request, prepare
from dfkdbench.checkpoint import dump_tree
from dfkdbench.cli.console import Console
from dfkdbench.crew import ALONE, SharedCrew
from dfkdbench.files import sha256_of
from dfkdbench.weights import dump_weights

SIZE = int(os.environ.get("WORLD_SIZE", "1"))


def main(folder: Path, cases: list[tuple[str, dict[str, Any], int]]) -> None:
    torch.set_num_threads(1)
    assembly.load_weights = lambda network, weights, _: network.load_state_dict(weights)  # type: ignore[assignment]
    if SIZE > 1:
        torch.distributed.init_process_group("gloo")
    for name, fields, rounds in cases:
        torch.set_default_dtype(torch.float32)
        statistics = fields.pop("batch_statistics", "synchronised")
        sharing = {"processes": SIZE, "batch_statistics": statistics} if SIZE > 1 else {}
        fields["settings"] = tuple(fields.get("settings", ()))
        prepared = prepare(Request(dataset="digits", budget="smoke", device="cpu", **fields, **sharing), Console())
        weights = [bundle.weights for bundle in prepared.teachers]
        crew = SharedCrew(torch.distributed.HashStore(), averages=statistics == "process") if SIZE > 1 else ALONE
        torch.set_default_dtype(torch.float64)
        torch.manual_seed(0)
        run = assembly.Assembly(prepared.plan(0), weights, torch.device("cpu"), crew=crew)
        for _ in range(rounds):
            if not run.loop.done:
                run.loop.advance()
                crew.settle(run.student)
        state = sha256_of(dump_tree(run.state_dict()))
        (folder / f"{name}.{crew.rank}.txt").write_text(state, encoding="utf-8")
        if crew.leads:
            (folder / f"{name}.safetensors").write_bytes(dump_weights(run.student))
            (folder / f"{name}.json").write_text(json.dumps(run.meter.counters()), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
