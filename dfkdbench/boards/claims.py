"""Published figures of a cell, beside what was measured in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dfkdbench.boards.model import Claim
from dfkdbench.published import Figure, Source, Spread, disagreements, load_figures, load_sources

_METRICS = ("accuracy", "accuracy_mean")


@dataclass(frozen=True)
class Literature:
    """Figures that papers claim, and who the papers are."""

    figures: Sequence[Figure]
    sources: Mapping[str, Source]

    @classmethod
    def packaged(cls) -> Literature:
        """What comes with the package."""
        return cls(load_figures(), load_sources())

    def claims_of(self, dataset: str, pair: str) -> tuple[Claim, ...]:
        """Every published accuracy of a data set and pair, by method and source."""
        of_cell = [figure for figure in self.figures if (figure.dataset, figure.pair) == (dataset, pair)]
        spreads = disagreements(of_cell)
        claims = [self._claim(figure, spreads.get(figure)) for figure in of_cell if figure.metric in _METRICS]
        return tuple(sorted(claims, key=_by_method_and_source))

    def _claim(self, figure: Figure, spread: Spread | None) -> Claim:
        source = self.sources.get(figure.paper)
        return Claim(
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
            reference=source.reference if source else "",
            locator=figure.locator,
            source=figure.source,
            range_low=spread.low if spread else None,
            range_high=spread.high if spread else None,
        )


def _by_method_and_source(claim: Claim) -> tuple[str, str, str, str, float]:
    return claim.method, claim.setting, claim.paper, claim.locator, claim.value
