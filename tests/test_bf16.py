"""Runs in bf16 end where those in float32 do, within what seeds differ by."""

from __future__ import annotations

from pathlib import Path

import pytest

from dfkdbench import run
from dfkdbench.bench import Request, prepare
from dfkdbench.cli.console import Console
from dfkdbench.records import read_result
from dfkdbench.verification.spread import predict

ENTRIES = Path(__file__).parents[1] / "leaderboards" / "digits" / "entries"


def accuracies_in_float32(plugin: str) -> dict[int, float]:
    """By seed, of the board's records of the preset."""
    prepared = prepare(Request(plugin, "digits", budget="standard", device="cpu"), Console())
    paths = {seed: ENTRIES / prepared.plan(seed).run_id / "result.json" for seed in range(5)}
    return {seed: read_result(path).accuracy_final for seed, path in paths.items()}


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("plugin", ["dafl", "rdskd"])
def test_bf16__ends_where_a_further_seed_in_float32_would(plugin: str, tmp_path: Path) -> None:
    (result,) = run(
        plugin,
        "digits",
        budget="standard",
        settings={"precision": "bf16"},
        out=tmp_path,
        threads=1,
        device="cpu",
    )
    expected = predict(accuracies_in_float32(plugin))
    assert expected.low <= result.accuracy_final <= expected.high, expected
