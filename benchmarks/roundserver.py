"""One way to run a row's rounds, in a process of its own: `python roundserver.py ROW WAY BATCH`, one round for every
line on standard input, its seconds on standard output.
"""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import plainpytorch
import torch
from alternation import clock

from dfkdbench.bench import Request
from dfkdbench.capture import WARM_UP, build_rounds
from dfkdbench.devices import prepare_torch
from dfkdbench.registry import load_registry
from dfkdbench.shortcuts import SHORTCUTS
from dfkdbench.timing.untrained import plan_untrained, untrained_assembly
from dfkdbench.workerprocess import training_environment

LATENT = 100


class Row(NamedTuple):
    """A row of the table in README.md."""

    plugin: str
    dataset: str
    pair: str
    batch: int


ROWS = {
    "dafl-lenet5": Row("dafl", "mnist", "lenet5:lenet5_half", 256),
    "dfad-lenet5": Row("dfad", "mnist", "lenet5:lenet5_half", 256),
    "zskt-wrn": Row("zskt", "cifar10", "wrn_40_2:wrn_16_1", 64),
    "dafl-resnet": Row("dafl", "cifar10", "resnet34:resnet18", 64),
}
WAYS = ("plain", "fp32", "bf16")


@contextmanager
def built(row: Row, way: str, batch: int) -> Iterator[Callable[[], None]]:
    """What runs one round: "plain" in plain PyTorch, else by the suite; "graph" behind a precision: captured rounds."""
    precision, _, captured = way.replace("plain", "fp32").partition(" ")
    settings = (f"batch_size={batch}", f'precision="{precision}"', f"generator.latent={LATENT}")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    prepare_torch(torch.device(device), 1, SHORTCUTS if way != "plain" else ())
    request = Request(row.plugin, row.dataset, row.pair, "standard", settings=settings, device=device)
    with untrained_assembly(plan_untrained(load_registry(), request)) as assembly:
        if way != "plain":
            rounds = build_rounds(assembly, captured or "off")
            for _ in range(WARM_UP + 1 if captured else 0):
                rounds.advance()
            if captured and rounds.capture.state != captured:
                raise RuntimeError(rounds.capture.told())
            yield rounds.advance
            return
        teacher = copy.deepcopy(assembly.teacher_networks[0]).requires_grad_(True)
        student = copy.deepcopy(assembly.student)
        generator = plainpytorch.plain_generator(LATENT, (128, 128, 64), assembly.plan.input.image_shape)
        yield getattr(plainpytorch, row.plugin)(teacher, student, generator.to(device), batch, LATENT)


def start(stack: ExitStack, row: str, way: str, folder: Path, batch: int | None = None) -> Callable[[], float]:
    """A process that runs rounds one way; what has it run one and tells the seconds."""
    ours = training_environment(folder, folder, 1)
    environment = ours if way != "plain" else {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": ours["PYTHONPATH"]}
    process = stack.enter_context(
        subprocess.Popen(
            [sys.executable, __file__, row, way, str(batch or ROWS[row].batch)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
    )

    def run() -> float:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the process has no pipes")
        process.stdin.write("go\n")
        process.stdin.flush()
        return float(process.stdout.readline())

    return run


def main(name: str, way: str, batch: int) -> None:
    """Serves rounds until standard input ends."""
    torch.set_num_threads(1)
    with built(ROWS[name], way, batch) as run:
        for _ in sys.stdin:
            started = clock()
            run()
            print(clock() - started, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
