"""Methods over many tasks by rank: Friedman's test and the critical difference of Nemenyi."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from dfkdbench.errors import ComparisonError

MINIMUM_TASKS = 8
MINIMUM_METHODS = 3
ALPHA = 0.05
_DECIMALS = 9
"""Means that differ by less are the same number, added up in another order."""


@dataclass(frozen=True)
class RankTest:
    """Average ranks, best first, and what they can tell apart.

    Attributes:
        average_ranks: Method to average rank; 1 is best.
        tasks: Number of tasks that the ranks were averaged over.
        statistic: Friedman's chi-squared.
        p_value: Of the statistic.
        critical_difference: Average ranks this far apart are told apart, if Friedman's test rejects at all.
        alpha: Level of both.
    """

    average_ranks: dict[str, float]
    tasks: int
    statistic: float
    p_value: float
    critical_difference: float
    alpha: float = ALPHA

    @property
    def rejected(self) -> bool:
        """Whether Friedman's test says that the methods differ."""
        return self.p_value < self.alpha

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """Longest stretches of two or more methods that are not told apart; all of them where nothing is rejected."""
        names = list(self.average_ranks)
        if not self.rejected:
            return (tuple(names),)
        ranks = np.array([self.average_ranks[name] for name in names])
        found, reached = [], 0
        for start, rank in enumerate(ranks):
            end = int(np.searchsorted(ranks - rank, self.critical_difference - 10.0**-_DECIMALS, side="left"))
            if end > max(reached, start + 1):
                found.append(tuple(names[start:end]))
                reached = end
        return tuple(found)


def rank_methods(scores: Mapping[str, Sequence[float]], alpha: float = ALPHA) -> RankTest:
    """Ranks methods, each with one value a task in the same order, higher being better (Demšar, JMLR 2006).

    Ties get the average rank. The chi-squared approximation is on the cautious side for few tasks. The test takes
    tasks as independent; those that share a data set are not quite.

    Raises:
        ComparisonError: Fewer than eight tasks or three methods.
        ValueError: Methods with unequal numbers of tasks.
    """
    table = np.array(list(scores.values()), dtype=np.float64).T if scores else np.empty((0, 0))
    if len(scores) < MINIMUM_METHODS:
        raise ComparisonError(
            f"Friedman's test compares {MINIMUM_METHODS} or more methods with a result in every task; here "
            f"{_there_are(len(scores))}. Two methods are compared by their paired differences."
        )
    tasks, methods = table.shape
    if tasks < MINIMUM_TASKS:
        raise ComparisonError(
            f"Friedman's test takes {MINIMUM_TASKS} or more tasks (data set and pair) that all methods share; "
            f"here {_there_are(tasks)}. With fewer, read the paired differences of each cell."
        )
    ranks = average_ranks(table)
    statistic, p_value = friedman(ranks)
    mean_ranks = dict(zip(scores, ranks.mean(axis=0).tolist(), strict=True))
    ordered = dict(sorted(mean_ranks.items(), key=lambda entry: (entry[1], entry[0])))
    return RankTest(ordered, tasks, statistic, p_value, critical_difference(methods, tasks, alpha), alpha)


def in_words(test: RankTest) -> str:
    """A test's figures as text, in place of the diagram."""
    ranks = ", ".join(f"{name} {rank:.2f}" for name, rank in test.average_ranks.items())
    groups = "; ".join(" and ".join(group) for group in test.groups) or "none"
    verdict = "the methods differ" if test.rejected else "no difference is shown"
    return (
        f"Average ranks over {test.tasks} tasks, 1 is best: {ranks}. Friedman chi-squared {test.statistic:.2f}, "
        f"p {test.p_value:.2g}: {verdict} at level {test.alpha:g}. Nemenyi critical difference "
        f"{test.critical_difference:.2f}. Not told apart: {groups}."
    )


def average_ranks(table: ArrayLike) -> NDArray[np.float64]:
    """Ranks (N, k) within each row of N tasks and k methods; the highest value has rank 1, equal ones share."""
    rounded = np.round(np.asarray(table, dtype=np.float64), _DECIMALS)
    ranks: NDArray[np.float64] = stats.rankdata(-rounded, method="average", axis=1)
    return ranks


def friedman(ranks: NDArray[np.float64]) -> tuple[float, float]:
    """Chi-squared with k - 1 degrees of freedom and its p-value from ranks (N, k) (Friedman, JASA 1937).

    Corrected for ties; with all methods equal in every task, 0 and 1.
    """
    tasks, methods = ranks.shape
    spread = ((ranks - (methods + 1) / 2.0) ** 2).sum()
    if spread == 0:
        return 0.0, 1.0
    between = ((ranks.mean(axis=0) - (methods + 1) / 2.0) ** 2).sum()
    statistic = float((methods - 1) * tasks**2 * between / spread)
    return statistic, float(stats.chi2.sf(statistic, methods - 1))


def critical_difference(methods: int, tasks: int, alpha: float = ALPHA) -> float:
    """q * sqrt(k (k + 1) / (6 N)) (Nemenyi, 1963; Demšar, JMLR 2006, section 3.2.2).

    q is the studentised range's quantile for k methods and infinite degrees of freedom, divided by sqrt(2).
    """
    quantile = float(stats.studentized_range.ppf(1.0 - alpha, methods, np.inf)) / np.sqrt(2.0)
    return float(quantile * np.sqrt(methods * (methods + 1) / (6.0 * tasks)))


def _there_are(count: int) -> str:
    return "there is 1" if count == 1 else f"there are {count or 'none'}"
