"""Two rounds of every phase of each installed method, of at most two generator and two student steps each.

On digits with batches of 64, from the same state each time; a method's own steps a round would hide what one costs.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
from installed import methods, plan_method

from dfkdbench.conformance.testbed import run_to_end, shorten
from dfkdbench.timing.untrained import untrained_assembly


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", methods())
def test_steps(benchmark: Any, name: str) -> None:
    plan = shorten(plan_method(name))
    with untrained_assembly(plan) as assembly:
        fresh = copy.deepcopy(assembly.state_dict())
        benchmark.pedantic(
            run_to_end,
            (assembly,),
            setup=lambda: assembly.load_state_dict(copy.deepcopy(fresh)),
            rounds=3,
            warmup_rounds=1,
        )
        benchmark.extra_info |= {"pair": plan.pair, **assembly.meter.counters()}
