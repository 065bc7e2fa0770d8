"""benchmarks/imagenet_cost.py: what it puts together from pieces is what a whole run does."""

from __future__ import annotations

import json
import sys

import pytest
from imagenet_cost import main, measure
from torch.utils.flop_counter import FlopCounterMode

from dfkdbench.bench import Request
from dfkdbench.registry import load_registry
from dfkdbench.timing.untrained import plan_untrained, untrained_assembly

BATCH = 4
LONG = ("phases.invert.rounds=2", "phases.invert.generator_steps=24", "phases.distil.rounds=5")
UNEQUAL = ("phases.warm_up.rounds=2", "phases.distil.rounds=3", "phases.distil.student_steps=23")
SHORT = ("phases.distil.rounds=7",)


def requested(plugin: str, *settings: str) -> Request:
    return Request(
        plugin, "digits", pair="resnet_s:resnet_xs", budget="smoke", settings=(*settings, "batch_size=4"), device="cpu"
    )


def operations_of_the_whole_run(request: Request) -> int:
    with (
        untrained_assembly(plan_untrained(load_registry(), request)) as assembly,
        FlopCounterMode(display=False) as counter,
    ):
        while not assembly.loop.done:
            assembly.loop.advance()
    return int(counter.get_total_flops())


@pytest.mark.parametrize(
    ("plugin", "settings", "measured"),
    [
        ("dafl", SHORT, "distil: whole rounds"),
        ("rdskd", SHORT, "generator: whole rounds; distil: whole rounds"),
        ("deepinversion", (*LONG, "generator.batch_size=8"), "invert: steps apart; distil: whole rounds"),
        (
            "fast",
            UNEQUAL,
            "warm_up: whole rounds; warm_up_adversarial: whole rounds; distil: steps apart",
        ),
    ],
)
def test_measure__pieces_come_to_the_operations_of_a_whole_run(
    plugin: str, settings: tuple[str, ...], measured: str
) -> None:
    request = requested(plugin, *settings)
    cost = measure(load_registry(), request, BATCH)
    assert cost["measured"] == measured
    whole = operations_of_the_whole_run(request) / int(str(cost["student_samples"])) / 1e9
    assert float(str(cost["gflop_a_sample"])) == pytest.approx(whole, rel=0.03)


def test_main__says_what_is_refused_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["imagenet_cost.py", "scratch", "cdfkd"])
    main()
    refused = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["plugin"] for line in refused] == ["scratch", "cdfkd"]
    assert "trains on real samples" in refused[0]["refused"]
    assert "--teachers 3" in refused[1]["refused"]
