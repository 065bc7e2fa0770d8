"""How far a training is: a bar on a terminal, about ten plain lines elsewhere, both on standard error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

OnEpoch = Callable[[int, int, float], None]
"""Called after every epoch with its number (from 1), the number of epochs and the mean loss."""

_LINES = 10


@contextmanager
def epoch_progress(title: str) -> Iterator[OnEpoch]:
    """Gives a callback that shows the epochs of a training while the block runs."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.print(f"training {title}", markup=False)
        yield _plain_lines(console)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("epoch {task.completed:.0f}/{task.total}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("loss {task.fields[loss]}"),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(title, total=None, loss="-")

        def show(epoch: int, epochs: int, loss: float) -> None:
            progress.update(task, completed=epoch, total=epochs, loss=f"{loss:.4f}")

        yield show


def _plain_lines(console: Console) -> OnEpoch:
    def show(epoch: int, epochs: int, loss: float) -> None:
        if epoch == epochs or epoch * _LINES // epochs > (epoch - 1) * _LINES // epochs:
            console.print(f"  epoch {epoch}/{epochs}, loss {loss:.4f}", markup=False)

    return show
