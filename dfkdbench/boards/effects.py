"""Marginal effects: what one part does where everything else is the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from dfkdbench.boards.model import Effect, EffectPair
from dfkdbench.boards.reading import ReadPart
from dfkdbench.boards.rows import Group
from dfkdbench.config import LOSS_GROUPS, SLOTS
from dfkdbench.files import canonical_json, sha256_of
from dfkdbench.statistics.intervals import mean_interval
from dfkdbench.statistics.paired import paired_difference

_FIRST_NAMED = ("none", "first", "sum")
"""Parts that do nothing: what the others are compared with."""

_ABSENT = "0"


@dataclass(frozen=True)
class _Place:
    """Where a part sits: a slot, or a loss by name."""

    slot: str
    loss: str = ""


@dataclass(frozen=True)
class _Variant:
    """A row as one of several that differ in one place.

    Attributes:
        value: What is there: a part's name, or a loss's weight.
        options: Of that part; with equal values, differing options are a matter of settings, not of the part.
    """

    value: str
    options: str
    group: Group


_EffectKey = tuple[str, _Place, str, str]


def marginal_effects(groups: Iterable[Group]) -> tuple[Effect, ...]:
    """Every exchange of one part that rows of a table show, each against the part that does nothing or comes first.

    Only rows of one league and with finished seeds are compared: other leagues see more of a teacher.
    """
    pairs: dict[_EffectKey, list[tuple[Group, Group]]] = defaultdict(list)
    for league, place, variants in _variants([group for group in groups if group.finished]):
        ordered = sorted(variants, key=lambda variant: (_order(variant.value), variant.options, variant.group.label))
        base = ordered[0]
        for other in ordered[1:]:
            if other.value != base.value:
                pairs[league, place, base.value, other.value].append((base.group, other.group))
    found = (_effect(key, compared) for key, compared in pairs.items())
    return tuple(
        sorted(filter(None, found), key=lambda effect: (effect.league, effect.part, effect.name, effect.after))
    )


def _variants(groups: Sequence[Group]) -> Iterator[tuple[str, _Place, list[_Variant]]]:
    """Rows that are the same but for one place, for every place."""
    losses = {_Place(kind, name) for group in groups for kind in LOSS_GROUPS for name in getattr(group.plan, kind)}
    places = [*map(_Place, SLOTS), *sorted(losses, key=lambda place: (place.slot, place.loss))]
    fingerprints = {group.key: _fingerprints(group) for group in groups}
    for place in places:
        alike: dict[tuple[str, str], list[_Variant]] = defaultdict(list)
        for group in groups:
            own = fingerprints[group.key]
            rest = sha256_of(canonical_json([own.rest, sorted(_others(own.parts, place))]).encode())
            alike[group.plan.league, rest].append(_variant(group, place))
        for (league, _), variants in sorted(alike.items(), key=lambda found: found[0]):
            if len(variants) > 1:
                yield league, place, variants


@dataclass(frozen=True)
class _Fingerprints:
    """Hashes of a row's parts by place, and of all else that its plan says."""

    parts: Mapping[_Place, str]
    rest: str


def _fingerprints(group: Group) -> _Fingerprints:
    plan = group.plan
    parts = {_Place(slot): _hash(part) for slot, part in plan.slots.items()}
    for kind in LOSS_GROUPS:
        parts |= {_Place(kind, name): _hash(part) for name, part in getattr(plan, kind).items()}
    rest = {key: value for key, value in plan.recipe.items() if key not in SLOTS and key not in LOSS_GROUPS}
    return _Fingerprints(parts, canonical_json([rest, plan.loop, plan.engine, plan.processes, plan.batch_statistics]))


def _hash(part: ReadPart) -> str:
    return sha256_of(canonical_json(part.model_dump(mode="json")).encode())


def _others(parts: Mapping[_Place, str], place: _Place) -> Iterator[tuple[str, str, str]]:
    for other, fingerprint in parts.items():
        if other != place:
            yield other.slot, other.loss, fingerprint


def _variant(group: Group, place: _Place) -> _Variant:
    plan = group.plan
    part: ReadPart | None = getattr(plan, place.slot).get(place.loss) if place.loss else plan.slots[place.slot]
    if part is None:
        return _Variant(_ABSENT, "", group)
    value = f"{part.weight:g}" if place.loss else part.name
    return _Variant(value, canonical_json(part.options), group)


def _order(value: str) -> tuple[Any, ...]:
    try:
        return 0, float(value), ""
    except ValueError:
        return 1, 0.0 if value in _FIRST_NAMED else 1.0, value


def _effect(key: _EffectKey, compared: Sequence[tuple[Group, Group]]) -> Effect | None:
    """The effect over its pairs of rows; None where no pair has a common seed."""
    league, place, before, after = key
    pairs, differences = [], []
    for base, other in sorted(compared, key=lambda pair: (pair[0].label, pair[1].label)):
        ours, theirs = _scores(other), _scores(base)
        difference = paired_difference(ours, theirs)
        if difference.interval is None:
            continue
        differences.append({seed: ours[seed] - theirs[seed] for seed in difference.seeds})
        pairs.append(
            EffectPair(
                before=base.label,
                after=other.label,
                seeds=difference.seeds,
                mean=difference.interval.mean,
                half_width=difference.interval.half_width,
            )
        )
    if not pairs:
        return None
    common = sorted(set.intersection(*(set(found) for found in differences)))
    by_seed = [fmean(found[seed] for found in differences) for seed in common]
    return Effect(
        league=league,
        part="loss" if place.loss else place.slot,
        name=place.loss,
        before=before,
        after=after,
        mean=fmean(pair.mean for pair in pairs),
        half_width=mean_interval(by_seed).half_width if by_seed else None,
        seeds=tuple(common),
        pairs=tuple(pairs),
    )


def _scores(group: Group) -> dict[int, float]:
    return {entry.result.seed: entry.result.accuracy_final or 0.0 for entry in group.finished}
