"""Rows: what the seeds say together, who has a rank, and what is never ranked."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from dfkdbench.boards.assembly import load_board
from dfkdbench.boards.claims import Literature
from dfkdbench.boards.model import Row, Table
from dfkdbench.files import sha256_of
from dfkdbench.published import Source, load_figures

Make = Callable[..., Any]
CORE = {"distribution": "dfkdbench"}


def table_of(board: Path) -> Table:
    (table,) = load_board(board).tables
    return table


def ranks(rows: tuple[Row, ...]) -> list[tuple[str, int | None, str]]:
    return [(row.plugin, row.rank, row.unranked) for row in rows]


def test_row__figures_over_its_seeds(board: Path, make_entry: Make) -> None:
    curves = [[50.0, 95.0, 90.0], [60.0, 70.0, 94.0], [40.0, 42.0, 92.0]]
    for seed, curve in enumerate(curves):
        made = make_entry(seed=seed, accuracy=curve)
        made.result.update(train_seconds=10.0 + seed, replay_bytes=100 * seed, peak_memory_mb=200.0 + seed)
        made.write(board)
    (row,) = table_of(board).rows
    assert [score.accuracy for score in row.scores] == [90.0, 94.0, 92.0]
    assert row.mean == 92.0
    assert row.half_width == pytest.approx(stats.t.ppf(0.975, 2) * 2.0 / math.sqrt(3), abs=1e-6)
    assert row.oracle == pytest.approx((95 + 94 + 92) / 3, abs=1e-6)
    assert (row.worst_drop, row.seconds, row.replay_bytes, row.peak_memory_mb) == (5.0, 11.0, 200, 202.0)
    assert (row.student_samples, row.teacher_queries) == (960, 1200)
    assert (row.failures, row.failure_rate, row.verified, row.hardware) == ((), 0.0, "none", ("Toy CPU (2 cores)",))
    assert row.curve is not None
    assert row.curve.samples == (320, 640, 960)
    assert row.curve.mean == (50.0, 69.0, 92.0)
    assert (row.curve.low[1], row.curve.high[1]) == (42.0, 95.0)


def test_row__says_where_seeds_shared_their_seconds(board: Path, make_entry: Make) -> None:
    for seed, together in enumerate((None, 1, 2)):
        made = make_entry(seed=seed)
        made.result["capture"] = together and {"state": "graph", "why": "", "together": together}
        made.write(board)
    (row,) = table_of(board).rows
    assert row.hardware == ("Toy CPU (2 cores)", "Toy CPU (2 cores), 2 runs together")
    assert [score.hardware for score in row.scores] == [row.hardware[0], row.hardware[0], row.hardware[1]]


def test_oracle__never_ranks(board: Path, make_entry: Make) -> None:
    for seed in range(3):
        make_entry("lucky", seed, [50.0, 99.0, 80.0]).write(board)
        make_entry("steady", seed, [50.0, 60.0, 81.0]).write(board)
    assert ranks(table_of(board).rows) == [("steady", 1, ""), ("lucky", 2, "")]


def test_rank__needs_seeds_that_finished(board: Path, make_entry: Make) -> None:
    for seed in range(3):
        make_entry("three", seed, 80.0 + seed).write(board)
    for seed in range(2):
        make_entry("two", seed, 95.0 + seed).write(board)
    for seed in range(2):
        make_entry("broken", seed, 99.0 + seed / 2).write(board)
    make_entry("broken", 2, [20.0], status="diverged").write(board)
    make_entry("dead", 0, [], status="out-of-memory").write(board)
    (ranking,) = table_of(board).rankings
    assert ranks(ranking.rows) == [
        ("three", 1, ""),
        ("broken", None, "needs 3 seeds"),
        ("two", None, "needs 3 seeds"),
        ("dead", None, "needs 3 seeds"),
    ]
    broken, dead = ranking.rows[1], ranking.rows[3]
    assert [(failure.seed, failure.status) for failure in broken.failures] == [(2, "diverged")]
    assert broken.failure_rate == pytest.approx(1 / 3, abs=1e-6)
    assert (dead.mean, dead.half_width, dead.curve, dead.failure_rate) == (None, None, None, 1.0)
    assert "--seeds 0-2" in broken.command


def test_rank__is_shared_by_equal_means_whatever_the_order_of_a_sum(board: Path, make_entry: Make) -> None:
    for seed, accuracy in enumerate((95.1, 95.2, 95.9)):
        make_entry("first", seed, accuracy).write(board)
        make_entry("second", 2 - seed, accuracy).write(board)
        make_entry("third", seed, 90.0 + seed).write(board)
    assert [(row.plugin, row.rank) for row in table_of(board).rows] == [("first", 1), ("second", 1), ("third", 3)]


def test_leagues__are_ranked_apart_from_the_least_access_on(board: Path, make_entry: Make) -> None:
    for league, access in (
        ("features", ["features", "soft_labels"]),
        ("soft-labels+class-names", ["soft_labels", "class_names"]),
        ("hard-labels", ["hard_labels"]),
        ("soft-labels", ["soft_labels"]),
    ):
        for seed in range(3):
            make_entry(league.replace("+", "."), seed, 80.0 + seed, access=access, league=league).write(board)
    found = table_of(board).rankings
    leagues = ["hard-labels", "soft-labels", "features", "soft-labels+class-names"]
    assert [ranking.league for ranking in found] == leagues
    assert [[row.rank for row in ranking.rows] for ranking in found] == [[1]] * 4


def test_controls_and_teacher__stand_apart_without_a_rank(board: Path, make_entry: Make) -> None:
    for seed in range(3):
        make_entry("noise", seed, 98.0, **CORE).write(board)
        make_entry("toy", seed, 80.0).write(board)
    table = table_of(board)
    assert ranks(table.controls) == [("noise", None, "control")]
    assert ranks(table.rankings[0].rows) == [("toy", 1, "")]
    assert table.absent_controls == ("random-generator", "real-data", "scratch")
    assert [(teacher.name, teacher.accuracy) for teacher in table.teachers] == [("digits-lenet_s-s0", 99.0)]


def test_control__is_the_cores_own(board: Path, make_entry: Make) -> None:
    make_entry("noise", distribution="somebody").write(board)
    assert table_of(board).controls == ()


def test_settings__set_by_the_user_are_marked(board: Path, make_entry: Make, keep_plain: Callable[..., None]) -> None:
    keep_plain()
    make_entry(accuracy=90.0).write(board)
    make_entry(accuracy=80.0, parts={"replay": "bank"}).write(board)
    make_entry(accuracy=70.0, settings={"batch_size": 8}).write(board)
    plain, part, tuned = table_of(board).rows
    assert [(row.method, row.settings) for row in (plain, part, tuned)] == [
        ("toy", ()),
        ("toy --replay bank", ()),
        ("toy --set batch_size=8", ("batch_size=8",)),
    ]
    assert all(row.plain_known for row in (plain, part, tuned))


def test_verified__is_the_lowest_of_the_seeds(board: Path, make_entry: Make) -> None:
    def verify(folder: Path, level: str) -> None:
        digest = sha256_of((folder / "result.json").read_bytes())
        (folder / "verification.json").write_text(json.dumps({"schema": 1, "level": level, "result_sha256": digest}))

    folders = [make_entry(seed=seed).write(board) for seed in range(2)]
    verify(folders[0], "L3")
    assert table_of(board).rows[0].verified == "none"
    verify(folders[1], "L1")
    assert table_of(board).rows[0].verified == "L1"


def test_hostile_words_of_a_record__are_one_line_of_ascii(board: Path, make_entry: Make) -> None:
    made = make_entry(accuracy=[], status="failed")
    made.result.update(error="\u202eline\n| one | `two`" + "x" * 500, hardware="CPU \u202e`x`|")
    made.write(board)
    (row,) = table_of(board).rows
    (failure,) = row.failures
    assert failure.error.startswith("\\u202eline | one | `two`xxx")
    assert len(failure.error) == 200
    assert row.hardware == ("CPU \\u202e`x`|",)


def test_claims__stand_beside_the_plain_method_alone(
    board: Path, make_entry: Make, keep_plain: Callable[..., None], tmp_path: Path
) -> None:
    keep_plain()
    make_entry(accuracy=90.0).write(board)
    make_entry(accuracy=80.0, parts={"replay": "bank"}).write(board)
    columns = "paper,kind,claim,method,reported_method,setting,variant,dataset,teacher,student,metric,epoch,code_epoch,"
    columns += "value,teacher_accuracy,scratch_accuracy,seeds,source,locator,notes,records\n"
    line = "{paper},paper,own,toy,Toy,{setting},,digits,lenet_s,lenet_xs,{metric},best,,{value},99,,3,x,Table 1,,1\n"
    figures = tmp_path / "figures.csv"
    figures.write_text(
        columns
        + line.format(paper="one", setting="", metric="accuracy", value=97.5)
        + line.format(paper="two", setting="", metric="accuracy", value=91.0)
        + line.format(paper="two", setting="with more", metric="accuracy", value=98.0)
        + line.format(paper="two", setting="", metric="time_hours", value=3.0)
    )
    literature = Literature(load_figures(figures), {"one": Source("one", "paper", ("toy",), "One et al., 2020")})
    (table,) = load_board(board, literature).tables
    assert [(claim.paper, claim.setting, claim.value, claim.range_low) for claim in table.claims] == [
        ("one", "", 97.5, 91.0),
        ("two", "", 91.0, 91.0),
        ("two", "with more", 98.0, None),
    ]
    assert [claim.reference for claim in table.claims] == ["One et al., 2020", "", ""]
    plain, variant = table.rows
    assert [claim.value for claim in plain.claims] == [97.5, 91.0]
    assert variant.claims == ()
    assert plain.rank is None
