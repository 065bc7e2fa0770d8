"""Submitting: whole or not at all, checked first, and nothing is lost when two do it at once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from click.testing import Result as Outcome
from PIL import Image

from dfkdbench.boards.assembly import load_board
from dfkdbench.boards.entries import scan_entries
from dfkdbench.boards.thumbnails import LARGEST_THUMBNAIL
from dfkdbench.cli import main
from dfkdbench.files import sha256_of

Make = Callable[..., Any]
MakeRun = Callable[..., Path]


@pytest.fixture
def make_run(tmp_path: Path, make_entry: Make) -> MakeRun:
    """Makes the folder of a finished run, its student with the hash that its record says."""

    def make(**entry: Any) -> Path:
        made = make_entry(**entry)
        student = made.run_id.encode()
        made.result["student_sha256"] = made.result["evaluations"][-1]["sha256"] = sha256_of(student)
        folder: Path = made.write_to(tmp_path / "runs" / made.run_id)
        (folder / "student.safetensors").write_bytes(student)
        (folder / "env.json").write_text("{}")
        (folder / "snapshots").mkdir()
        return folder

    return make


def submit(board: Path, *runs: Path) -> Outcome:
    return CliRunner().invoke(main, ["submit", *map(str, runs), "--leaderboard", str(board)])


def draw_sheet(folder: Path, side: int = 8, size: int = 16) -> None:
    """A sheet as runs leave it, of `side` x `side` images of noise."""
    width = side * (size + 1) - 1
    noise = Image.effect_noise((width, width), 80.0)
    noise.resize((2 * width, 2 * width), Image.Resampling.NEAREST).save(folder / "samples.png")


def test_submit__copies_plan_and_record_and_says_what_to_do(board: Path, make_run: MakeRun) -> None:
    run = make_run()
    done = submit(board, run)
    assert done.exit_code == 0, done.output
    target = board / "entries" / run.name
    assert {path.name for path in target.iterdir()} == {"plan.json", "result.json"}
    assert (target / "result.json").read_bytes() == (run / "result.json").read_bytes()
    assert f"    cd {board}\n    git switch -c submit-{run.name}\n" in done.stdout
    assert f"    git add entries/{run.name}\n    git commit -m 'Submit {run.name}'\n" in done.stdout
    assert "This version of toy is not installed, so its row is spelled out whole." in done.stderr
    assert load_board(board).entries == 1
    assert not [path for path in (board / "entries").iterdir() if path.name.startswith(".")]


def test_submit__keeps_the_plain_settings_of_an_installed_method(board: Path, make_run: MakeRun) -> None:
    run = make_run(plugin="noise", distribution="dfkdbench")
    done = submit(board, run)
    name = "methods/dfkdbench/noise-1-digits-lenet_s-lenet_xs-quick.json"
    assert f"git add entries/{run.name} {name}" in done.stdout
    assert json.loads((board / name).read_text())["recipe"]["generator"]["name"] == "noise"
    again = submit(board, make_run(plugin="noise", distribution="dfkdbench", seed=1))
    assert again.stderr == ""
    (board / name).write_text((board / name).read_text().replace('"batch_size": 64', '"batch_size": 65'))
    other = submit(board, make_run(plugin="noise", distribution="dfkdbench", seed=2))
    assert "The board has other plain settings of noise than are installed; it keeps its own." in other.stderr


def test_submit__twice_is_once(board: Path, make_run: MakeRun) -> None:
    run = make_run()
    submit(board, run)
    done = submit(board, run, run)
    assert done.exit_code == 0
    assert done.stdout == f"It was there already: {run.name}\n"


def test_submit__makes_a_small_thumbnail(board: Path, make_run: MakeRun) -> None:
    run = make_run()
    draw_sheet(run)
    assert submit(board, run).exit_code == 0
    data = (board / "entries" / run.name / "samples.png").read_bytes()
    assert len(data) <= LARGEST_THUMBNAIL
    (row,) = load_board(board).tables[0].rows
    assert row.thumbnail == f"entries/{run.name}/samples.png"
    with Image.open(board / row.thumbnail) as picture:
        assert picture.size == (67, 67)


@pytest.mark.parametrize("size", [32, 64, 224])
def test_thumbnail__of_large_images_shows_fewer(tmp_path: Path, size: int) -> None:
    from dfkdbench.boards.thumbnails import make_thumbnail

    draw_sheet(tmp_path, 4, size)
    data = make_thumbnail(tmp_path / "samples.png", size)
    assert data is None or len(data) <= LARGEST_THUMBNAIL
    assert (data is None) == (size == 224)  # even one such image of noise is too large


def test_submit__hands_on_no_real_images(board: Path, make_run: MakeRun) -> None:
    real = {"access": ["real_samples"], "league": "real-samples", "side": "judge"}
    run = make_run(plugin="scratch", distribution="dfkdbench", **real)
    draw_sheet(run)
    assert submit(board, run).exit_code == 0
    assert not (board / "entries" / run.name / "samples.png").exists()


def test_submit__refuses_one_and_takes_the_others(board: Path, make_run: MakeRun, tmp_path: Path) -> None:
    good, swapped, torn = (make_run(seed=seed) for seed in range(3))
    foreign = make_run(seed=3, protocol="2025.1")
    (swapped / "student.safetensors").write_bytes(b"another")
    (torn / "result.json").write_text("{")
    done = submit(board, swapped, tmp_path / "none", torn, foreign, good)
    assert done.exit_code == 1
    assert f"Submitted {good.name}" in done.stdout
    lines = [line for line in done.stderr.splitlines() if line.startswith("Refused ")]
    assert len(lines) == 4
    assert f"Refused {swapped}: student.safetensors has sha256 " in lines[0]
    assert f"Refused {tmp_path / 'none'}: There is no run folder" in lines[1]
    assert f"Refused {torn}: result.json is no whole JSON file" in lines[2]
    assert f"Refused {foreign}: It is of protocol 2025.1; this board is of 2026.1." in lines[3]
    assert [path.name for path in (board / "entries").iterdir()] == [good.name]


def test_submit__refuses_a_seed_that_is_there(board: Path, make_run: MakeRun) -> None:
    first, earlier = make_run(), make_run(device="cuda")
    tree = json.loads((earlier / "result.json").read_text())
    (earlier / "result.json").write_text(json.dumps({**tree, "finished_at": "2026-01-01T00:00:00+00:00"}))
    assert submit(board, first).exit_code == 0
    done = submit(board, earlier)
    assert f"Seed 0 of the same settings is there already: {first.name}." in done.stderr


def test_submit__refuses_another_record_of_a_run_that_is_there(board: Path, make_run: MakeRun) -> None:
    run = make_run()
    submit(board, run)
    tree = json.loads((run / "result.json").read_text())
    (run / "result.json").write_text(json.dumps({**tree, "train_seconds": 1.0}))
    done = submit(board, run)
    assert f"The board has another result.json of {run.name}. One record a run counts: the first." in done.stderr
    assert done.exit_code == 1


def test_submit__refuses_what_is_dated_ahead(board: Path, make_run: MakeRun) -> None:
    run = make_run()
    tree = json.loads((run / "result.json").read_text())
    (run / "result.json").write_text(json.dumps({**tree, "finished_at": "2099-01-01T00:00:00+00:00"}))
    assert "which lies in the future" in submit(board, run).stderr


def test_submit__run_without_a_record(board: Path, make_run: MakeRun) -> None:
    run = make_run()
    (run / "result.json").unlink()
    assert f"{run} has no record. Its own command resumes it." in submit(board, run).stderr
    make_run(seed=1)
    assert f"It holds 1 runs: name them, such as {run.parent}/*" in submit(board, run.parent).stderr


def test_submit__needs_a_board(tmp_path: Path, make_run: MakeRun) -> None:
    done = submit(tmp_path, make_run())
    assert done.exit_code == 2
    assert "Make one with: dfkdbench leaderboard init" in done.stderr


def test_submit__tells_of_other_entries_that_do_not_hold(board: Path, make_run: MakeRun) -> None:
    (board / "entries" / "broken").mkdir(parents=True)
    done = submit(board, make_run())
    assert done.exit_code == 0
    assert f"1 entries of the board do not hold; see: dfkdbench leaderboard check {board}" in done.stderr


def test_submissions_at_once__lose_nothing(board: Path, make_run: MakeRun) -> None:
    runs = [make_run(plugin="noise", distribution="dfkdbench", seed=seed) for seed in range(8)]
    shares = [runs[:6], list(reversed(runs[2:])), runs]
    command = [sys.executable, "-P", "-m", "dfkdbench", "submit", "--leaderboard", str(board)]
    processes = [subprocess.Popen([*command, *map(str, share)], stdout=subprocess.DEVNULL) for share in shares]
    assert [process.wait() for process in processes] == [0, 0, 0]
    entries, problems = scan_entries(board)
    assert ({entry.run_id for entry in entries}, problems) == ({run.name for run in runs}, [])
    assert {path.name for path in (board / "entries").iterdir()} == {run.name for run in runs}
    (row,) = load_board(board).tables[0].rows
    assert row.plain_known


def test_a_real_run__from_run_to_table(tmp_path: Path) -> None:
    """`run`, `leaderboard init`, `submit`, `build` and `check`, as a user types them."""

    def call(*words: str) -> Outcome:
        done = CliRunner().invoke(main, words)
        assert done.exit_code == 0, done.output
        return done

    runs, board = tmp_path / "runs", tmp_path / "board"
    common = ("--dataset", "digits", "--budget", "smoke")
    call("run", "--plugin", "noise", *common, "--set", "batch_size=32", "--out", str(runs))
    call("leaderboard", "init", str(board), *common)
    call("submit", *map(str, runs.iterdir()), "--leaderboard", str(board))
    call("leaderboard", "build", str(board))
    assert call("leaderboard", "check", str(board), "--outputs").stdout == "1 entries hold.\n"
    (row,) = load_board(board).tables[0].rows
    assert (row.method, row.unranked) == ("noise --set batch_size=32", "control")
    assert row.thumbnail is not None
    assert row.command.endswith("--budget smoke --seeds 0 --set batch_size=32 --device cpu")
