"""Rows from entries: what the seeds of one settings say together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from dfkdbench.boards.admission import is_control
from dfkdbench.boards.entries import FOLDER, UNVERIFIED, Entry
from dfkdbench.boards.fields import shown
from dfkdbench.boards.methods import MethodKey, key_of
from dfkdbench.boards.model import Claim, Curve, Failure, Row, Score
from dfkdbench.boards.reading import ReadPlan
from dfkdbench.boards.spelling import Spelling, command_of, spell
from dfkdbench.boards.thumbnails import THUMBNAIL
from dfkdbench.statistics.intervals import mean_interval

_LONGEST_ERROR = 200


@dataclass(frozen=True)
class Group:
    """The entries of one settings in a table, by rising seed, with how they are spelled."""

    key: str
    entries: tuple[Entry, ...]
    spelling: Spelling
    label: str

    @property
    def plan(self) -> ReadPlan:
        """Of any of them: they differ in seed and device."""
        return self.entries[0].plan

    @property
    def finished(self) -> list[Entry]:
        """Those with a final accuracy."""
        return [entry for entry in self.entries if entry.finished]


def group_entries(entries: Iterable[Entry], plain: Mapping[MethodKey, Mapping[str, Any]]) -> list[Group]:
    """Entries by settings, each with a name that no other of the table has."""
    by_settings: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        by_settings[entry.settings].append(entry)
    groups = []
    for key, found in by_settings.items():
        plan = found[0].plan
        spelling = spell(plan, plain.get(key_of(plan)))
        ordered = tuple(sorted(found, key=lambda entry: entry.result.seed))
        groups.append(Group(key, ordered, spelling, spelling.label(plan.plugin)))
    return _told_apart(groups)


def make_row(group: Group, minimum_seeds: int, claims: Sequence[Claim]) -> Row:
    """A row without its rank."""
    plan, finished = group.plan, group.finished
    results = [entry.result for entry in finished]
    scores = tuple(map(_score, finished))
    interval = mean_interval([score.accuracy for score in scores]) if scores else None
    control = is_control(plan)
    is_plain = group.spelling.against_plain and not (group.spelling.parts or group.spelling.settings)
    return Row(
        key=group.key[:12],
        method=group.label,
        plugin=plan.plugin,
        distribution=plan.distribution,
        method_version=plan.method_version,
        parts=group.spelling.parts,
        settings=group.spelling.settings,
        plain_known=group.spelling.against_plain,
        league=plan.league,
        control=control,
        rank=None,
        unranked=_unranked(control, len(scores), minimum_seeds),
        scores=scores,
        mean=interval.mean if interval else None,
        half_width=interval.half_width if interval else None,
        oracle=_mean(score.oracle for score in scores),
        stability_mean=_mean(result.accuracy_mean for result in results),
        variance=_mean(result.accuracy_variance for result in results),
        worst_drop=max((result.worst_drop for result in results if result.worst_drop is not None), default=None),
        failures=tuple(_failure(entry) for entry in group.entries if not entry.finished),
        failure_rate=1.0 - len(scores) / len(group.entries),
        student_samples=_mean(result.student_samples for result in results),
        teacher_queries=_mean(result.teacher_queries for result in results),
        seconds=_mean(result.train_seconds for result in results),
        replay_bytes=max((result.replay_bytes for result in results), default=None),
        peak_memory_mb=max((result.peak_memory_mb for result in results), default=None),
        hardware=tuple(sorted({shown(entry.result.ran_on) for entry in group.entries})),
        verified=min((entry.verified for entry in group.entries), key=lambda level: (level != UNVERIFIED, level)),
        command=command_of(
            plan,
            group.spelling,
            [entry.result.seed for entry in group.entries],
            [entry.result.device for entry in group.entries],
        ),
        thumbnail=next((f"{FOLDER}/{entry.run_id}/{THUMBNAIL}" for entry in group.entries if entry.thumbnail), None),
        curve=_curve(finished),
        claims=tuple(claim for claim in claims if is_plain and claim.method == plan.plugin and not claim.setting),
    )


def _unranked(control: bool, seeds: int, minimum_seeds: int) -> str:
    if control:
        return "control"
    return f"needs {minimum_seeds} seeds" if seeds < minimum_seeds else ""


def _score(entry: Entry) -> Score:
    result = entry.result
    return Score(
        seed=result.seed,
        run_id=entry.run_id,
        accuracy=result.accuracy_final or 0.0,
        oracle=result.accuracy_oracle or 0.0,
        device=result.device,
        isolation=shown(result.isolation),
        hardware=shown(result.ran_on),
        finished_at=result.finished_at,
        verified=entry.verified,
    )


def _failure(entry: Entry) -> Failure:
    result = entry.result
    error = shown(result.error, _LONGEST_ERROR)
    return Failure(seed=result.seed, run_id=entry.run_id, status=result.status, error=error)


def _curve(finished: Sequence[Entry]) -> Curve | None:
    """The seeds' curves together, as far as all of them go."""
    if not finished:
        return None
    columns = list(zip(*(entry.result.evaluations for entry in finished), strict=False))
    return Curve(
        samples=tuple(column[0].student_samples for column in columns),
        queries=tuple(fmean(each.teacher_queries for each in column) for column in columns),
        seconds=tuple(fmean(each.seconds for each in column) for column in columns),
        mean=tuple(fmean(each.accuracy for each in column) for column in columns),
        low=tuple(min(each.accuracy for each in column) for column in columns),
        high=tuple(max(each.accuracy for each in column) for column in columns),
    )


def _mean(values: Iterable[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return fmean(present) if present else None


_FACETS: tuple[tuple[str, Callable[[Group], str]], ...] = (
    ("version", lambda group: group.plan.method_version),
    ("of", lambda group: group.plan.distribution),
    ("engine", lambda group: group.plan.engine),
    ("parts", lambda group: _part_versions(group.plan)),
    ("settings", lambda group: group.key[:8]),
)
"""What tells rows of one spelling apart, tried in this order."""


def _told_apart(groups: list[Group]) -> list[Group]:
    """The same groups; those of one name get what tells them apart behind it."""
    by_label: dict[str, list[Group]] = defaultdict(list)
    for group in groups:
        by_label[group.label].append(group)
    named = []
    for label, namesakes in by_label.items():
        distinction = _distinction(namesakes) if len(namesakes) > 1 else None
        for group in namesakes:
            named.append(replace(group, label=f"{label} ({distinction(group)})") if distinction else group)
    return named


def _distinction(namesakes: Sequence[Group]) -> Callable[[Group], str]:
    """What differs between all of these, in words."""
    for word, facet in _FACETS:
        if len(set(map(facet, namesakes))) == len(namesakes):
            return lambda group: f"{word} {facet(group)}"
    return lambda group: f"settings {group.key[:12]}"


def _part_versions(plan: ReadPlan) -> str:
    parts = {**plan.slots, **plan.losses, **plan.student_losses}
    newer = [f"{part.name} {part.version}" for _, part in sorted(parts.items()) if part.version != "1"]
    return ", ".join(newer) or "1"
