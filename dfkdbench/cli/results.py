"""`dfkdbench results`: a table of the records in a runs folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dfkdbench.cli.output import print_remark

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    import pandas

FORMATS = ("github", "csv", "latex", "json", "plain")
_TABULATE_STYLES = {"github": "github", "latex": "latex_booktabs", "plain": "simple"}
_ORDER = ["dataset", "pair", "budget", "league", "plugin"]
_FIGURES = {
    "agreement": "agreement %",
    "calibration_error": "ECE %",
    "worst": "worst class %",
    "accuracy_last5": "last five %",
    "worst_drop": "worst drop",
    "synthetic_class_balance": "balance",
    "synthetic_diversity": "diversity",
    "synthetic_frechet": "Fréchet",
}
_RUN_COLUMNS = {
    "plugin": "plugin",
    "dataset": "data set",
    "pair": "pair",
    "budget": "tier",
    "seed": "seed",
    "league": "league",
    "status": "status",
    "accuracy_final": "final %",
    "accuracy_oracle": "oracle %",
    "accuracy_mean": "mean %",
    "accuracy_variance": "variance",
    "teacher_accuracy": "teacher %",
    "train_seconds": "seconds",
    "isolation": "isolation",
    "values": "values",
    "chosen_by": "preset chosen by",
}
_RUN_FIGURES = {
    "plugin": "plugin",
    "dataset": "data set",
    "pair": "pair",
    "seed": "seed",
    "status": "status",
    "accuracy_final": "final %",
    **_FIGURES,
}
_CELL_COLUMNS = {
    "plugin": "plugin",
    "dataset": "data set",
    "pair": "pair",
    "budget": "tier",
    "league": "league",
    "settings": "settings",
    "final": "final %",
    "teacher_accuracy": "teacher %",
    "seeds": "seeds",
    "failures": "failures",
    "train_seconds": "seconds",
    "values": "values",
    "chosen_by": "preset chosen by",
}
_CELL_FIGURES = {
    "plugin": "plugin",
    "dataset": "data set",
    "pair": "pair",
    "settings": "settings",
    "seeds": "seeds",
    "final": "final %",
    **_FIGURES,
}
_PROVENANCE = ("changed_settings", "tuning")
_MEANS = ("worst_class_accuracy", *(name for name in _FIGURES if name != "worst"))
_DECIMALS = {"accuracy_variance": 3, "train_seconds": 1, "synthetic_frechet": 1}


@click.command()
@click.option(
    "--runs", type=click.Path(path_type=Path), default=Path("runs"), show_default=True, help="The folder of runs."
)
@click.option("--format", "style", type=click.Choice(FORMATS), default="github", show_default=True)
@click.option(
    "--by",
    type=click.Choice(["run", "cell"]),
    default="run",
    show_default=True,
    help="One row a run, or one a cell: mean of the finished seeds, their standard deviation, and failures.",
)
@click.option(
    "--columns",
    type=click.Choice(["accuracy", "figures"]),
    default="accuracy",
    show_default=True,
    help="What tables show: accuracies and costs, or the figures of docs/metrics.md.",
)
def results(runs: Path, style: str, by: str, columns: str) -> None:
    """Show a table of the records in a runs folder. Accuracies are in percent.

    `final` is the accuracy at the end of the declared budget and the only one that ranks. `values` says whether
    settings were changed away from the method's preset: such a run never ranks. The last column says how the preset
    was chosen. csv and json have every field, whatever the columns.
    """
    from dfkdbench.records import find_results, results_frame, settings_of

    found, problems = find_results(runs)
    for problem in problems:
        print_remark(f"Left out: {problem}")
    report_unfinished(runs)
    frame = results_frame(found).sort_values([*_ORDER, "seed"], ignore_index=True)
    if by == "cell":
        frame = _by_cell(frame, [settings_of(runs / result.run_id) for result in _in_order(found, frame)])
    if frame.empty:
        print_remark(f"There is no record in {runs} yet.")
    shown = {
        ("run", "accuracy"): _RUN_COLUMNS,
        ("run", "figures"): _RUN_FIGURES,
        ("cell", "accuracy"): _CELL_COLUMNS,
        ("cell", "figures"): _CELL_FIGURES,
    }
    _print_frame(frame, shown[by, columns], style)


def _in_order(found: list[Any], frame: pandas.DataFrame) -> list[Any]:
    by_id = {result.run_id: result for result in found}
    return [by_id[run_id] for run_id in frame["run_id"]]


def report_unfinished(runs: Path) -> None:
    """Says how many runs have a plan and no record."""
    unfinished = sum(not (plan.parent / "result.json").exists() for plan in runs.glob("*/plan.json"))
    if unfinished:
        print_remark(f"{unfinished} run(s) in {runs} have no record yet; their own commands resume them.")


def _by_cell(frame: pandas.DataFrame, settings: list[str]) -> pandas.DataFrame:
    """One row a cell, method and settings, over the seeds that finished."""
    import pandas

    rows: list[dict[str, Any]] = []
    grouped = frame.assign(settings=settings).groupby([*_ORDER, "settings"], sort=True)
    for key, group in grouped:
        finished = group[group["status"] == "finished"]
        rows.append(
            {
                **dict(zip([*_ORDER, "settings"], key, strict=True)),
                "accuracy_final_mean": finished["accuracy_final"].mean(),
                "accuracy_final_std": finished["accuracy_final"].std(ddof=1),
                "teacher_accuracy": group["teacher_accuracy"].mean(),
                "seeds": len(finished),
                "failures": len(group) - len(finished),
                "train_seconds": finished["train_seconds"].mean(),
                **{name: pandas.to_numeric(finished[name]).mean() for name in _MEANS},
                **{name: group[name].iloc[0] for name in _PROVENANCE},
            }
        )
    columns = [*_ORDER, "settings", "accuracy_final_mean", "accuracy_final_std", "teacher_accuracy"]
    return pandas.DataFrame(rows, columns=[*columns, "seeds", "failures", "train_seconds", *_MEANS, *_PROVENANCE])


def _print_frame(frame: pandas.DataFrame, columns: dict[str, str], style: str) -> None:
    if style == "json":
        click.echo(frame.to_json(orient="records", indent=2, double_precision=10))
        return
    if style == "csv":
        click.echo(frame.to_csv(index=False, lineterminator="\n"), nl=False)
        return
    from tabulate import tabulate

    rows = [[_cell(row, column) for column in columns] for row in frame.to_dict(orient="records")]
    headers = list(columns.values())
    click.echo(tabulate(rows, headers=headers, tablefmt=_TABULATE_STYLES[style], disable_numparse=True))


def _cell(row: Mapping[Hashable, Any], column: str) -> str:
    if column == "final":
        mean, deviation = row["accuracy_final_mean"], row["accuracy_final_std"]
        return _number(mean, 2) + ("" if deviation != deviation else f" ± {_number(deviation, 2)}")
    if column == "worst":
        of_class = row.get("worst_class")
        named = isinstance(of_class, int)
        return _number(row["worst_class_accuracy"], 2) + (f" (class {of_class})" if named else "")
    if column == "values":
        return values_in_words(row["changed_settings"])
    if column == "chosen_by":
        return _chosen_by(row)
    value = row[column]
    if isinstance(value, float) or value is None:
        return _number(value, _DECIMALS.get(column, 2))
    return str(value)


def values_in_words(changed: Sequence[str] | None) -> str:
    """Whether a record's values are its method's; a dash where it does not say."""
    if changed is None:
        return "-"
    return "settings changed" if changed else "preset"


def _chosen_by(row: Mapping[Hashable, Any]) -> str:
    from dfkdbench.descriptors import Tuning
    from dfkdbench.tuning import summary

    tunings = row["tuning"]
    return summary(None if tunings is None else [Tuning(**tuning) for tuning in tunings], row["dataset"], row["pair"])


def _number(value: float | None, decimals: int) -> str:
    """A number, or a dash for what is not there."""
    return "-" if value is None or value != value else f"{value:.{decimals}f}"
