"""A run by two processes is the run by one: student, counts, and the same state in both."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

SCRIPT = Path(__file__).parent / "rounds.py"
BY_TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
WITH_BATCH_NORM = {"pair": "resnet_s:resnet_xs"}
SHORT = ("phases.generator.rounds=2",)

CASES: dict[str, tuple[dict[str, Any], int]] = {
    "means over samples": ({"plugin": "dfad"}, 4),
    "losses of the batch's mean": ({"plugin": "dafl"}, 4),
    "norms of the teacher's statistics": ({"plugin": "dafl", "losses": ("batch_norm=1",), **WITH_BATCH_NORM}, 4),
    "halves of a batch and a combiner with memory": ({"plugin": "rdskd", "settings": SHORT, **WITH_BATCH_NORM}, 5),
    "a loss that learns and asks about views": ({"plugin": "cmi", "replay": "bank", **WITH_BATCH_NORM}, 4),
    "a replay that learns": ({"plugin": "dfad", "replay": "vae", **WITH_BATCH_NORM}, 4),
}
METHODS = ("deepinversion", "dfq", "fast", "mad", "mb_dfkd", "pre_dfkd", "zskd", "zskt")
OTHERS: dict[str, tuple[dict[str, Any], int]] = {
    **{name: ({"plugin": name, **WITH_BATCH_NORM}, 12) for name in METHODS},
    "cdfkd_mfs": ({"plugin": "cdfkd_mfs", "pair": "resnet_s:mh3_resnet_xs", "teacher_count": 3}, 4),
}


def train(folder: Path, cases: Mapping[str, tuple[dict[str, Any], int]], *launcher: str) -> Path:
    folder.mkdir()
    told = json.dumps([(name, *case) for name, case in cases.items()])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, "-P", *launcher, str(SCRIPT), str(folder), told]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("crew")
    return train(root / "one", CASES), train(root / "two", CASES, *BY_TORCHRUN)


@pytest.mark.parametrize("case", CASES)
def test_two_processes__train_the_student_of_one(trained: tuple[Path, Path], case: str) -> None:
    assert largest_difference(*trained, case) < 1e-6
    assert counts(trained[1], case) == counts(trained[0], case)
    assert len(set(states(trained[1], case))) == 1


@pytest.mark.slow
def test_two_processes__train_the_student_of_one_whatever_the_method(tmp_path: Path) -> None:
    trained = train(tmp_path / "one", OTHERS), train(tmp_path / "two", OTHERS, *BY_TORCHRUN)
    differences = {case: largest_difference(*trained, case) for case in OTHERS}
    assert max(differences.values()) < 1e-6, differences
    for case in OTHERS:
        assert counts(trained[1], case) == counts(trained[0], case)
        assert len(set(states(trained[1], case))) == 1


def test_statistics_by_process__give_another_student_and_one_state(tmp_path: Path) -> None:
    fields = {"plugin": "dafl", **WITH_BATCH_NORM}
    cases = {each: ({**fields, "batch_statistics": each}, 3) for each in ("process", "synchronised")}
    folder = train(tmp_path / "two", cases, *BY_TORCHRUN)
    first, second = (load_file(folder / f"{case}.safetensors") for case in cases)
    assert any(not first[name].allclose(second[name]) for name in first)
    assert len(set(states(folder, "process"))) == 1


def largest_difference(one: Path, two: Path, case: str) -> float:
    first, second = (load_file(folder / f"{case}.safetensors") for folder in (one, two))
    assert first.keys() == second.keys()
    return max(float((first[name] - second[name]).abs().max()) for name in first)


def counts(folder: Path, case: str) -> dict[str, int]:
    found: dict[str, int] = json.loads((folder / f"{case}.json").read_text())
    assert found["student_steps"] > 0
    return found


def states(folder: Path, case: str) -> list[str]:
    found = [path.read_text() for path in sorted(folder.glob(f"{case}.[0-9].txt"))]
    assert len(found) == 2
    return found
