"""Published figures of a cell, beside what was measured in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dfkdbench.boards.model import Claim
from dfkdbench.published import Figure, Source, disagreements

_METRICS = ("accuracy", "accuracy_mean")


def claims_of(figures: Sequence[Figure], sources: Mapping[str, Source], dataset: str, pair: str) -> tuple[Claim, ...]:
    """Every published accuracy of a data set and pair, by method and source."""
    of_cell = [figure for figure in figures if (figure.dataset, figure.pair) == (dataset, pair)]
    spreads = disagreements(of_cell)
    claims = []
    for figure in of_cell:
        if figure.metric not in _METRICS:
            continue
        spread = spreads.get(figure)
        claims.append(
            Claim(
                method=figure.method,
                reported_method=figure.reported_method,
                setting=figure.setting,
                metric=figure.metric,
                value=figure.value,
                epoch=figure.epoch,
                code_epoch=figure.code_epoch,
                kind=figure.kind,
                claim=figure.claim,
                seeds=figure.seeds,
                teacher_accuracy=figure.teacher_accuracy,
                paper=figure.paper,
                reference=sources[figure.paper].reference if figure.paper in sources else "",
                locator=figure.locator,
                source=figure.source,
                range_low=spread.low if spread else None,
                range_high=spread.high if spread else None,
            )
        )
    return tuple(
        sorted(claims, key=lambda claim: (claim.method, claim.setting, claim.paper, claim.locator, claim.value))
    )
