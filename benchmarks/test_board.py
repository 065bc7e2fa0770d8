"""Building a board of 10,000 entries: time, and the most memory that it takes."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from dfkdbench.files import canonical_json, sha256_of

ENTRIES = 10_000
SEEDS = 5
ROOT = Path(__file__).parents[1]
MODELS = sorted((ROOT / "leaderboards" / "digits" / "entries").glob("*-lenet_s-lenet_xs-s0-*"))


def make_entry(model: Path, number: int, board: Path) -> None:
    """A copy of a real entry with a seed and a setting of its own, and the id and hashes that belong to it."""
    plan = json.loads((model / "plan.json").read_text())
    result = json.loads((model / "result.json").read_text())
    seed, variant = number % SEEDS, number // SEEDS
    plan["seed"] = result["seed"] = seed
    plan["recipe"]["student"]["lr"] = 0.001 + variant * 1e-6
    student = sha256_of(f"{number}".encode())
    result["student_sha256"] = result["evaluations"][-1]["sha256"] = student
    digest = sha256_of(canonical_json(plan).encode())[:12]
    result["run_id"] = f"{plan['plugin']}-digits-lenet_s-lenet_xs-s{seed}-{digest}"
    folder = board / "entries" / result["run_id"]
    folder.mkdir(parents=True)
    (folder / "plan.json").write_text(json.dumps(plan))
    (folder / "result.json").write_text(json.dumps(result))


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("large")
    (folder / "leaderboard.toml").write_bytes((ROOT / "leaderboards" / "digits" / "leaderboard.toml").read_bytes())
    for number in range(ENTRIES):
        make_entry(MODELS[number // SEEDS % len(MODELS)], number, folder)
    return folder


def test_build__ten_thousand_entries(benchmark, board: Path) -> None:
    code = """
        import pathlib, sys
        from dfkdbench.boards.writing import build
        print(build(pathlib.Path(sys.argv[1])).entries)
    """
    command = [sys.executable, "-P", "-c", textwrap.dedent(code), str(board)]

    def build() -> str:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert benchmark.pedantic(build, rounds=1, warmup_rounds=0).strip() == str(ENTRIES)
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    benchmark.extra_info["processor seconds"] = round(spent.ru_utime + spent.ru_stime, 1)
    benchmark.extra_info["peak memory of the process, MiB"] = round(spent.ru_maxrss / 1024)
    benchmark.extra_info["data.json, MiB"] = round((board / "data.json").stat().st_size / 2**20, 1)
