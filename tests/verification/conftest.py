"""Runs to verify and to forge, made once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from dfkdbench.cli import main

SMALL = ("--dataset", "digits", "--budget", "smoke", "--set", "batch_size=32", "--threads", "1")

MakeRun = Callable[..., Path]


@pytest.fixture(scope="session")
def make_run() -> MakeRun:
    """Makes a short run below a folder, with the options of `dfkdbench run`; gives the run's folder."""

    def make(out: Path, *arguments: str) -> Path:
        done = CliRunner().invoke(main, ["run", *arguments, *SMALL, "--out", str(out), "--json"])
        assert done.exit_code == 0, done.output
        return out / str(json.loads(done.stdout)[0]["run_id"])

    return make


@pytest.fixture(scope="session")
def honest(make_run: MakeRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of noise."""
    return make_run(tmp_path_factory.mktemp("honest"), "--plugin", "noise")


@pytest.fixture(scope="session")
def other(make_run: MakeRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the same cell that was trained on real data."""
    return make_run(tmp_path_factory.mktemp("other"), "--plugin", "real-data")
