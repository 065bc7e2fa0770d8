"""Ranks, Friedman's test against scipy's and Nemenyi's difference against the printed table."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from dfkdbench.errors import ComparisonError
from dfkdbench.statistics.ranks import (
    RankTest,
    average_ranks,
    critical_difference,
    friedman,
    in_words,
    rank_methods,
)

Q_05 = {2: 1.960, 3: 2.343, 4: 2.569, 5: 2.728, 6: 2.850, 7: 2.949, 8: 3.031, 9: 3.102, 10: 3.164}
"""Table 5(a) of Demšar (JMLR 2006)."""


def plain_ranks(row: list[float]) -> list[float]:
    return [sum(other > value for other in row) + (sum(other == value for other in row) + 1) / 2 for value in row]


@pytest.mark.parametrize(
    "row", [[90.0, 95.0, 80.0], [90.0, 90.0, 80.0], [1.0, 1.0, 1.0, 1.0], [3.0, 5.0, 5.0, 5.0, 9.0]], ids=str
)
def test_average_ranks__ties_share(row: list[float]) -> None:
    assert average_ranks([row]).tolist() == [plain_ranks(row)]


def test_average_ranks__rounding_breaks_no_tie() -> None:
    assert average_ranks([[(0.1 + 0.2) + 0.3, 0.1 + (0.2 + 0.3)]]).tolist() == [[1.5, 1.5]]


@pytest.mark.parametrize("decimals", [6, 0], ids=["no-ties", "ties"])
@pytest.mark.parametrize(("tasks", "methods"), [(8, 3), (12, 5), (30, 10)])
def test_friedman__as_scipys(tasks: int, methods: int, decimals: int) -> None:
    table = np.random.default_rng(tasks).normal(90.0, 1.0, (tasks, methods)).round(decimals)
    found = friedman(average_ranks(table))
    assert found == pytest.approx(tuple(stats.friedmanchisquare(*table.T)))


def test_friedman__all_equal() -> None:
    assert friedman(average_ranks(np.full((8, 3), 90.0))) == (0.0, 1.0)


def test_friedman__same_order_everywhere_is_the_largest() -> None:
    statistic, p_value = friedman(average_ranks([[3.0, 2.0, 1.0]] * 8))
    assert statistic == pytest.approx(16.0)  # N (k - 1)
    assert p_value == pytest.approx(math.exp(-8))


@pytest.mark.parametrize("methods", Q_05)
def test_critical_difference__as_the_printed_table(methods: int) -> None:
    expected = Q_05[methods] * math.sqrt(methods * (methods + 1) / (6 * 14))
    assert critical_difference(methods, 14) == pytest.approx(expected, rel=4e-4)


def scores_of(order: str, tasks: int) -> dict[str, list[float]]:
    return {name: [90.0 - place] * tasks for place, name in enumerate(order)}


def test_rank_methods__best_first() -> None:
    found = rank_methods(scores_of("dbca", 9))
    assert list(found.average_ranks.items()) == [("d", 1.0), ("b", 2.0), ("c", 3.0), ("a", 4.0)]
    assert (found.tasks, found.rejected) == (9, True)
    assert found.critical_difference == pytest.approx(critical_difference(4, 9))
    assert found.groups == (("d", "b"), ("b", "c"), ("c", "a"))


def test_groups__all_of_them_where_friedman_does_not_reject() -> None:
    flat = rank_methods({"a": [90.0] * 8, "b": [90.0] * 8, "c": [90.0] * 8})
    assert (flat.statistic, flat.p_value, flat.rejected) == (0.0, 1.0, False)
    assert flat.groups == (("a", "b", "c"),)
    assert "no difference is shown" in in_words(flat)


@pytest.mark.parametrize(
    ("ranks", "groups"),
    [
        ([1.0, 2.0, 3.0], (("a", "b"), ("b", "c"))),
        ([1.0, 3.0, 5.0], ()),
        ([1.0, 1.5, 2.0], (("a", "b", "c"),)),
        ([1.0, 1.5, 4.0], (("a", "b"),)),
        ([1.0, 2.5, 2.5], (("b", "c"),)),
        ([1.0, 3.0, 3.5, 3.6, 4.7], (("b", "c", "d"), ("c", "d", "e"))),
    ],
    ids=str,
)
def test_groups__longest_stretches_below_the_critical_difference(
    ranks: list[float], groups: tuple[tuple[str, ...], ...]
) -> None:
    named = dict(zip("abcde", ranks, strict=False))
    assert RankTest(named, 8, 10.0, 0.001, critical_difference=1.5).groups == groups


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (scores_of("abc", 7), r"takes 8 or more tasks \(data set and pair\).* here there are 7\."),
        (scores_of("abc", 1), r"here there is 1\."),
        (scores_of("ab", 12), r"compares 3 or more methods.* here there are 2\."),
        ({}, r"here there are none\."),
    ],
)
def test_rank_methods__refuses_too_little(scores: dict[str, list[float]], message: str) -> None:
    with pytest.raises(ComparisonError, match=message):
        rank_methods(scores)


def test_false_alarms__of_equal_methods_stay_at_the_level() -> None:
    """Friedman's rejections at 8 tasks and 4 equal methods, 4,000 times: at most 5 %, on the cautious side."""
    tables = np.random.default_rng(20264).normal(size=(4000, 8, 4))
    rejected = np.mean([friedman(average_ranks(table))[1] < 0.05 for table in tables])
    assert 0.03 < rejected < 0.055
