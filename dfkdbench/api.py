"""The same runs from Python as from the command line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfkdbench.records import Result, find_results, results_frame

if TYPE_CHECKING:
    import pandas


def run(
    plugin: str,
    dataset: str,
    *,
    seeds: Iterable[int] = (0,),
    pair: str | None = None,
    budget: str | None = None,
    settings: Mapping[str, Any] | None = None,
    out: str | Path = "runs",
    rerun: bool = False,
    **options: Any,
) -> list[Result]:
    """Runs a method on a cell, one run a seed, and gives the records.

    Finished runs are read, not run again; unfinished ones resume.

    Args:
        settings: Dotted key -> value, as for `--set`.
        options: Further fields of `dfkdbench.bench.Request`, e.g. `data_root`, `device`, `replay`, `losses`.

    Raises:
        DfkdbenchError: What was asked for is not there or does not fit.
    """
    import json

    from dfkdbench.bench import Request, prepare
    from dfkdbench.cli.console import Console
    from dfkdbench.judge import execute

    for name in ("data_root", "config_file"):
        if options.get(name) is not None:
            options[name] = Path(options[name])
    texts = tuple(f"{key}={json.dumps(value)}" for key, value in (settings or {}).items())
    request = Request(
        plugin=plugin,
        dataset=dataset,
        pair=pair,
        budget=budget,
        seeds=tuple(seeds),
        settings=texts,
        out=Path(out),
        **options,
    )
    prepared = prepare(request, Console())
    plans = [prepared.plan(seed) for seed in request.seeds]
    return [execute(plan, request.out.resolve(), prepared.bench(plan), rerun) for plan in plans]


def load_results(runs: str | Path = "runs") -> pandas.DataFrame:
    """Every record in a runs folder, one row a run; damaged ones raise a warning and are left out."""
    import warnings

    results, problems = find_results(Path(runs))
    for problem in problems:
        warnings.warn(problem, stacklevel=2)
    return results_frame(results)
