"""What a CUDA device makes of the suite, in calls of limited length: `python benchmarks/gputable.py`.

Every call takes up where the one before stopped, keeps what it measured in a JSON file, and prints a table at its end;
it exits with 75 while something is left to do. `--smoke` runs all of it on small batches, on a CPU too, to see that it
runs: what needs a CUDA device then says that there is none.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
import torch
from alternation import ratio
from roundserver import ROWS, start

from dfkdbench.environment import hardware_name

ROOT = Path(__file__).parents[1]
EXIT_UNFINISHED = 75
NO_DEVICE = "no CUDA device"
WAYS = ("plain", "fp32", "bf16", "fp32 graph", "bf16 graph")
PAIR = ("--dataset", "cifar10", "--pair", "resnet34:resnet18")
FIRST_TRIES = 2

Done = dict[str, Any]


class Bounds:
    """How much is done, and until when.

    Args:
        smoke: As little as there can be.
        seconds: Length of this call.
    """

    def __init__(self, smoke: bool, seconds: float) -> None:
        self.smoke = smoke
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds until this call has to end."""
        return self._end - time.monotonic()

    def output(self, *command: str) -> str:
        """What a command prints; its failure is an error with the end of what it says."""
        done = subprocess.run(
            [sys.executable, "-P", *command], cwd=ROOT, capture_output=True, text=True, timeout=max(1.0, self.left)
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command[:4])} ended with {done.returncode}: {_end(done)}")
        return done.stdout


def run_tests(bounds: Bounds) -> Done:
    """The tests that need a CUDA device."""
    if bounds.device == "cpu":
        return {"told": NO_DEVICE}
    return {"told": bounds.output("-m", "pytest", "-q", "-m", "gpu", "tests/test_gpu.py").splitlines()[-1]}


def run_sealed(bounds: Bounds) -> Done:
    """A run under the seal, on the device."""
    with tempfile.TemporaryDirectory() as folder:
        common = ("--dataset", "digits", "--budget", "smoke", "--device", bounds.device, "--json", "--out", folder)
        (result,) = json.loads(bounds.output("-m", "dfkdbench", "run", "--plugin", "dafl", *common))
    told = f"{result['status']}, {result['isolation']}, {result['hardware']}, rounds {result['capture']['state']}"
    return {"told": told, "isolation": result["isolation"], "device": bounds.device, "capture": result["capture"]}


def time_row(bounds: Bounds, row: str) -> Done:
    """Rounds of one row in every way, alternating."""
    turns = 1 if bounds.smoke else 7
    batch = 8 if bounds.smoke else ROWS[row].batch
    ways = [way for way in WAYS if bounds.device == "cuda" or "graph" not in way]
    with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        rounds = {way: start(stack, row, way, Path(folder), batch) for way in ways}
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for turn in range(-1, turns):
            for way, run in rounds.items():
                spent = run()
                if turn >= 0:
                    seconds[way].append(spent)
    faster = {way: ratio(seconds, "plain", way) for way in ways if way != "plain"}
    told = ", ".join(f"{way} {times:.2f} x" for way, times in faster.items())
    plain = statistics.median(seconds["plain"])
    told += "" if bounds.device == "cuda" else f"; graphs: {NO_DEVICE}"
    return {"told": f"batch {batch}, plain {1000 * plain:.1f} ms a round; {told}", "seconds": seconds, "faster": faster}


def measure_use(bounds: Bounds, plugin: str, precision: str) -> Done:
    """How much of the device's peak the rounds of a method reach."""
    steps = 2 if bounds.smoke else 20
    batch = 4 if bounds.smoke else 256
    settings = [f"batch_size={batch}", f'precision="{precision}"']
    if plugin == "deepinversion":
        settings.append(f"phases.invert.generator_steps={steps}")
    chosen = [text for setting in settings for text in ("--set", setting)]
    rounds = ("--rounds", "1" if bounds.smoke else "10", "--device", bounds.device)
    cost = json.loads(bounds.output("-m", "dfkdbench", "bench", "--plugin", plugin, *PAIR, *chosen, *rounds, "--json"))
    reached, peak = cost["flops"] / cost["seconds"] / 1e12, cost["peak_flops"] / 1e12
    told = (
        f"batch {batch}, {reached:.2f} of {peak:.2f} TFLOP/s, {cost['utilisation']:.1f} %, "
        f"{cost['peak_memory_mb']:,.0f} MiB; rounds {cost['capture']['state']}"
    )
    return {"told": told, **cost}


def time_seeds(bounds: Bounds, *at_once: str) -> Done:
    """Seeds of a LeNet pair at once on one device, against one alone; the students have to be the same.

    Args:
        at_once: What makes several seeds run so.
    """
    count = 2 if bounds.smoke else 8
    alone = _run_seeds(bounds, 1)
    several = _run_seeds(bounds, count, *at_once)
    if several[0]["student_sha256"] != alone[0]["student_sha256"]:
        raise RuntimeError("seed 0 has another student with the others than alone")
    seconds = [max(result["train_seconds"] for result in results) for results in (alone, several)]
    words = f"{count} seeds {seconds[1]:.1f} s, one {seconds[0]:.1f} s: {seconds[1] / seconds[0]:.2f} times"
    capture = several[0]["capture"]
    return {
        "told": f"{words}; rounds {capture['state']}, {capture['together']} in a program",
        "alone": seconds[0],
        "at_once": seconds[1],
        "seeds": count,
        "capture": capture,
    }


def _run_seeds(bounds: Bounds, count: int, *options: str) -> list[Done]:
    budget = "smoke" if bounds.smoke else "quick"
    with tempfile.TemporaryDirectory() as folder:
        cell = ("--plugin", "dafl", "--dataset", "digits", "--budget", budget, "--device", bounds.device)
        seeds = ("--seeds", f"0-{count - 1}", "--threads", "1", *options, "--out", folder)
        return list(json.loads(bounds.output("-m", "dfkdbench", "run", *cell, *seeds, "--json")))


STAGES: dict[str, Callable[[Bounds], Done]] = {
    "tests": run_tests,
    "sealed run": run_sealed,
    **{f"row {row}": lambda bounds, row=row: time_row(bounds, row) for row in ROWS},  # type: ignore[misc]
    **{
        f"use {plugin} {precision}": lambda bounds, plugin=plugin, precision=precision: measure_use(  # type: ignore[misc]
            bounds, plugin, precision
        )
        for plugin in ("dafl", "deepinversion")
        for precision in ("fp32", "bf16")
    },
    "seeds side by side": lambda bounds: time_seeds(bounds, "--jobs", "2" if bounds.smoke else "8"),
    "seeds together": lambda bounds: time_seeds(bounds, "--together"),
}


def work(bounds: Bounds, found: Done, save: Callable[[], None], needed: float) -> None:
    """Runs what is left, while at least `needed` seconds are; what fails twice, or without a time limit, stays so."""
    for name, stage in STAGES.items():
        if "told" in found.get(name, {}):
            continue
        if bounds.left < needed:
            return
        tries = found.get(name, {}).get("tries", 0) + 1
        started = time.monotonic()
        try:
            found[name] = stage(bounds)
        except subprocess.TimeoutExpired:
            found[name] = {"tries": tries} | ({"told": "took too long"} if tries >= FIRST_TRIES else {})
        except Exception as error:  # one stage that fails does not keep the others from running
            found[name] = {"told": f"failed: {type(error).__name__}: {error}"}
        found[name]["took"] = round(time.monotonic() - started, 1)
        save()
        click.echo(f"{name}: {found[name].get('told', 'stopped, to be tried again')}")


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("gpu-table.json"), show_default=True)
@click.option("--seconds", default=560.0, show_default=True, help="Length of this call.")
@click.option("--smoke", is_flag=True, help="Small batches and few rounds, to see that everything runs.")
def main(out: Path, seconds: float, smoke: bool) -> None:
    """Measure what is not measured yet, and print the table."""
    bounds = Bounds(smoke, seconds)
    setup = {"hardware": hardware_name(bounds.device), "torch": torch.__version__, "smoke": smoke}
    kept = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {"setup": setup, "found": {}}
    if kept["setup"] != setup:
        raise click.ClickException(f"{out} was measured on {kept['setup']}, and this is {setup}. Give another --out.")
    found = kept["found"]
    work(bounds, found, lambda: _write(out, kept), needed=min(60.0, seconds / 2))
    _write(out, kept)
    left = [name for name in STAGES if "told" not in found.get(name, {})]
    click.echo(
        f"\n{setup['hardware']}, torch {setup['torch']}{', smoke' if smoke else ''}\n\n| what | found |\n|---|---|"
    )
    for name in STAGES:
        click.echo(f"| {name} | {found.get(name, {}).get('told', 'to do')} |")
    if left:
        click.echo(f"\n{len(left)} of {len(STAGES)} to do: run the same command again.")
        sys.exit(EXIT_UNFINISHED)


def _write(out: Path, kept: Done) -> None:
    out.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")


def _end(done: subprocess.CompletedProcess[str]) -> str:
    said = (done.stdout + done.stderr).strip().splitlines()
    return " / ".join(said[-3:])[:400]


if __name__ == "__main__":
    main()
