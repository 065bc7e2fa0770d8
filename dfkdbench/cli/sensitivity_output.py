"""How a sensitivity study is written: as tables for people, as plain values, one CSV row a run, and a drawing."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import click

from dfkdbench.cli.output import print_remark, print_table
from dfkdbench.files import write_atomically
from dfkdbench.sensitivity.figures import (
    COMPARED,
    FIGURES,
    MethodStudy,
    compare,
    lines,
    most_sensitive,
    summary,
    verdict,
)
from dfkdbench.sensitivity.grid import scaled
from dfkdbench.sensitivity.plot import sensitivity_svg
from dfkdbench.sensitivity.study import Job
from dfkdbench.statistics.intervals import Interval

Row = dict[str, Any]
_RUN_COLUMNS = (
    *("method", "league", "setting", "preset_value", "factor", "value", "seed", "accuracy", "failure", "seconds"),
    *("whole_seed", "run_id"),
)
_PERCENT_OF = {"failure_rate": 100.0}


def report(measured: Sequence[tuple[MethodStudy, Sequence[Job]]]) -> Row:
    """The studies of several methods, each with its runs, as values that JSON can hold."""
    studies = [study for study, _ in measured]
    jobs = [job for _, mine in measured for job in mine]
    plan = jobs[0].plan
    results = [result for job in jobs if (result := job.record()) is not None]
    return {
        "protocol": plan.protocol,
        "dataset": plan.input.dataset,
        "pair": plan.pair,
        "teacher_sha256": plan.teachers[0].sha256,
        "budget": plan.budget.name,
        "factors": list(studies[0].factors),
        "hardware": sorted({result.hardware for result in results}),
        "runs": len(jobs),
        "runs_done": len(results),
        "train_seconds": sum(result.train_seconds for result in results),
        "methods": [_method_row(study, mine) for study, mine in measured],
        "settings": [row for study in studies for row in _setting_rows(study)],
        "comparisons": [_comparison_row(*pair) for pair in combinations(studies, 2)],
        "records": [row for study, mine in measured for row in _record_rows(study, mine)],
        "notes": [*_notes(studies), *(note for study, mine in measured for note in _notes_of(study, mine))],
    }


def print_tables(told: Row) -> None:
    """Prints a table of methods, one of settings, and one of differences where there are two methods or more."""
    click.echo(f"{told['dataset']}, {told['pair']}, budget {told['budget']}")
    click.echo("Mean over whole seeds ± half-width of the 95 % t interval; range, deviation and loss in points")
    columns = [
        "method",
        "league",
        "seeds",
        "base %",
        "range",
        "deviation",
        "area",
        "loss",
        "failed %",
        "most sensitive",
    ]
    print_table(columns, [_method_cells(row) for row in told["methods"]])
    click.echo("\nAccuracy in percent by factor, mean over whole seeds")
    factors = [f"x{factor:g}" for factor in told["factors"]]
    columns = ["method", "setting", "preset", *factors, "range", "area", "failed"]
    print_table(columns, [_setting_cells(row, told["factors"]) for row in told["settings"]])
    if told["comparisons"]:
        click.echo("\nPaired differences over common whole seeds: mean ± half-width of the 95 % t interval")
        rows = [
            [
                row["method"],
                row["against"],
                str(len(row["seeds"])),
                *(_figure(row[name], name, "+") for name in COMPARED),
            ]
            for row in told["comparisons"]
        ]
        print_table(["method", "against", "seeds", "deviation", "loss", "failed %"], rows)
    click.echo()
    for note in told["notes"]:
        click.echo(f"- {note}")


def write_files(studies: Sequence[MethodStudy], told: Row, folder: Path) -> None:
    """Writes sensitivity.json, .csv (one row a run) and, where a seed is whole, .svg."""
    folder.mkdir(parents=True, exist_ok=True)
    contents = {"json": json.dumps(told, indent=2, ensure_ascii=False) + "\n", "csv": _csv(told["records"])}
    if any(study.seeds for study in studies):
        title = f"Accuracy off the preset: {told['dataset']}, {told['pair']}, budget {told['budget']}"
        contents["svg"] = sensitivity_svg(studies, title)
    for ending, text in contents.items():
        write_atomically(folder / f"sensitivity.{ending}", text)
    print_remark(f"Wrote {', '.join(str(folder / f'sensitivity.{ending}') for ending in contents)}")


def _method_row(study: MethodStudy, jobs: Sequence[Job]) -> Row:
    found = lines(study)
    worst = most_sensitive(found) if found else None
    return {
        "method": study.method,
        "league": study.league,
        "seeds": list(study.seeds),
        "runs": len(jobs),
        "runs_done": len(study.base) + sum(map(len, study.varied.values())),
        **{name: _interval(interval) for name, interval in summary(study).items()},
        "failures": sum(line.failures for line in found),
        "most_sensitive": worst.setting if worst else None,
        "most_sensitive_range": worst.range if worst else None,
    }


def _setting_rows(study: MethodStudy) -> list[Row]:
    return [
        {
            "method": study.method,
            "setting": line.setting,
            "preset_value": line.value,
            "accuracies": [{"factor": factor, "accuracy": accuracy} for factor, accuracy in line.points.items()],
            "range": line.range,
            "area": line.area,
            "failures": line.failures,
            "runs": line.runs,
        }
        for line in lines(study)
    ]


def _comparison_row(ours: MethodStudy, theirs: MethodStudy) -> Row:
    differences = compare(ours, theirs)
    return {
        "method": ours.method,
        "against": theirs.method,
        "seeds": list(differences["loss"].seeds),
        **{name: found.interval and _interval(found.interval) for name, found in differences.items()},
        "verdict": verdict(ours, theirs),
    }


def _record_rows(study: MethodStudy, jobs: Sequence[Job]) -> list[Row]:
    """One row a run that has a record."""
    rows = []
    for job in jobs:
        setting, factor = job.point
        outcome = study.varied.get(job.seed, {}).get(job.point) if setting else study.base.get(job.seed)
        if outcome is None:
            continue
        preset = study.settings.get(setting)
        rows.append(
            {
                "method": study.method,
                "league": study.league,
                "setting": setting or "preset",
                "preset_value": preset,
                "factor": factor,
                "value": None if preset is None else scaled(preset, factor),
                "seed": job.seed,
                "accuracy": outcome.accuracy,
                "failure": outcome.failure,
                "seconds": outcome.seconds,
                "whole_seed": job.seed in study.seeds,
                "run_id": outcome.run_id,
            }
        )
    return rows


def _csv(rows: Sequence[Row]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, _RUN_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _notes(studies: Sequence[MethodStudy]) -> list[str]:
    notes = [verdict(*pair) for pair in combinations(studies, 2)]
    if len({study.league for study in studies}) > 1:
        notes.append(
            "The methods are of different leagues: what they lose off their presets is compared, not what they reach."
        )
    return notes


def _notes_of(study: MethodStudy, jobs: Sequence[Job]) -> list[str]:
    notes = []
    if missing := sorted({job.seed for job in jobs} - {*study.seeds}):
        seeds = ", ".join(map(str, missing))
        notes.append(f"{study.method}: seed {seeds} has runs without a record and enters no figure.")
    if failed := [f"seed {seed} ({study.base[seed].failure})" for seed in study.seeds if study.base[seed].failure]:
        notes.append(f"{study.method}: the preset itself failed: {', '.join(failed)}.")
    for variation, reason in study.refused.items():
        notes.append(f"{study.method}: {variation.text} is refused and left out: {reason}")
    return notes


def _interval(interval: Interval) -> Row:
    return {"mean": interval.mean, "half_width": interval.half_width, "n": interval.count}


def _method_cells(row: Row) -> list[str]:
    worst = "-" if row["most_sensitive"] is None else f"{row['most_sensitive']} ({row['most_sensitive_range']:.1f})"
    figures = [_figure(row.get(name), name) for name in FIGURES]
    return [row["method"], row["league"], str(len(row["seeds"])), *figures, worst]


def _setting_cells(row: Row, factors: Sequence[float]) -> list[str]:
    accuracies = {point["factor"]: point["accuracy"] for point in row["accuracies"]}
    shown = [f"{accuracies[factor]:.1f}" if factor in accuracies else "refused" for factor in factors]
    failed = f"{row['failures']} of {row['runs']}"
    ends = [f"{row['range']:.1f}", f"{row['area']:.3f}", failed]
    return [row["method"], row["setting"], f"{row['preset_value']:g}", *shown, *ends]


def _figure(found: Row | None, name: str, sign: str = "") -> str:
    if found is None:
        return "-"
    decimals, scale = (3 if name == "area" else 1), _PERCENT_OF.get(name, 1.0)
    half_width = found["half_width"]
    spread = "" if half_width is None else f" ± {scale * half_width:.{decimals}f}"
    return f"{scale * found['mean']:{sign}.{decimals}f}{spread}"
