"""One way to run a row's rounds, in a process of its own: `python roundserver.py ROW WAY`, one round for every line on
standard input, its seconds on standard output.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import plainpytorch
import torch
from alternation import clock

from dfkdbench.bench import Request
from dfkdbench.registry import load_registry
from dfkdbench.timing.untrained import plan_untrained, untrained_assembly

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
def built(row: Row, way: str) -> Iterator[Callable[[], None]]:
    """What runs one round: "plain" in plain PyTorch, the others by the suite in that precision."""
    precision = "fp32" if way == "plain" else way
    settings = (f"batch_size={row.batch}", f'precision="{precision}"', f"generator.latent={LATENT}")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    request = Request(row.plugin, row.dataset, row.pair, "standard", settings=settings, device=device)
    with untrained_assembly(plan_untrained(load_registry(), request)) as assembly:
        if way != "plain":
            yield assembly.loop.advance
            return
        teacher = copy.deepcopy(assembly.teacher_networks[0]).requires_grad_(True)
        student = copy.deepcopy(assembly.student)
        generator = plainpytorch.plain_generator(LATENT, (128, 128, 64), assembly.plan.input.image_shape)
        yield getattr(plainpytorch, row.plugin)(teacher, student, generator.to(device), row.batch, LATENT)


def main(name: str, way: str) -> None:
    """Serves rounds until standard input ends."""
    torch.set_num_threads(1)
    with built(ROWS[name], way) as run:
        for _ in sys.stdin:
            started = clock()
            run()
            print(clock() - started, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
