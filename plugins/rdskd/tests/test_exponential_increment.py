from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from dfkdbench.errors import PlanError
from dfkdbench.seams import Setting
from dfkdbench_rdskd.exponential_increment import ExponentialIncrementCombiner
from dfkdbench_rdskd.options import ExponentialIncrementOptions

NAMES = ("one_hot", "class_entropy", "inter_sample_diversity")
ONES = dict.fromkeys(NAMES, 1.0)


@pytest.fixture
def make(make_setting: Callable[..., Setting]) -> Callable[..., ExponentialIncrementCombiner]:
    def build(**options: Any) -> ExponentialIncrementCombiner:
        return ExponentialIncrementCombiner(ExponentialIncrementOptions.model_validate(options), make_setting())

    return build


def terms(one_hot: float, class_entropy: float, diversity: float = 0.02) -> dict[str, Tensor]:
    values = (one_hot, class_entropy, diversity)
    return {name: torch.tensor(value, requires_grad=True) for name, value in zip(NAMES, values, strict=True)}


def series(length: int) -> list[dict[str, Tensor]]:
    return [terms(0.5 + 0.3 * math.sin(i), -2.0 + 0.2 * math.cos(i)) for i in range(length)]


def references(combiner: ExponentialIncrementCombiner) -> tuple[float, ...]:
    return tuple(reference.item() for reference in combiner.state_dict()["references"].values())


def test_combiner__starts_with_reference_zero(make: Any) -> None:
    total = make()(terms(0.5, -2.0), ONES)
    assert total.item() == pytest.approx(math.exp(0.5) + math.exp(-2.0) + 0.02)


def test_combiner__references_change_once_a_period_after_the_step_of_the_phase(make: Any) -> None:
    combiner, batches = make(period=5, phase=1), series(20)
    history = []
    for batch in batches:
        combiner(batch, ONES)
        history.append(references(combiner))
    changes = [i for i in range(20) if history[i] != ((0.0, 0.0) if i == 0 else history[i - 1])]
    assert changes == [1, 6, 11, 16]
    for i in changes:
        assert history[i] == (batches[i]["one_hot"].item(), batches[i]["class_entropy"].item())


def test_combiner__default_refreshes_at_step_one_of_every_120(make: Any) -> None:
    combiner, seen = make(), set()
    for batch in series(300):
        combiner(batch, ONES)
        seen.add(references(combiner))
    assert len(seen) == 4  # the initial pair, and those of steps 1, 121 and 241


def test_combiner__follows_a_written_out_reference(make: Any) -> None:
    combiner = make(period=7, phase=3, init=0.25)
    a_reference = c_reference = 0.25
    for i, batch in enumerate(series(30)):
        a, c = batch["one_hot"].item(), batch["class_entropy"].item()
        expected = math.exp(a - a_reference) + math.exp(c - c_reference) + 0.02
        assert combiner(batch, ONES).item() == pytest.approx(expected, rel=1e-5)
        if i % 7 == 3:
            a_reference, c_reference = a, c


def test_combiner__after_a_refresh_the_same_batch_gives_two_and_plain_gradients(make: Any) -> None:
    combiner, batch = make(period=9, phase=0), terms(0.5, -2.0)
    combiner(batch, ONES)
    total = combiner(batch, ONES)
    assert (total - batch["inter_sample_diversity"]).item() == 2.0
    gradients = torch.autograd.grad(total, list(batch.values()))
    assert [gradient.item() for gradient in gradients] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("rise", [-0.7, 0.3, 1.5])
def test_combiner__a_rise_weighs_exponentially(make: Any, rise: float) -> None:
    combiner = make(period=9, phase=0)
    combiner(terms(0.5, -2.0), ONES)
    risen = terms(0.5 + rise, -2.0)
    gradients = torch.autograd.grad(combiner(risen, ONES), list(risen.values()))
    assert [gradient.item() for gradient in gradients] == pytest.approx([math.exp(rise), 1.0, 1.0], rel=1e-5)


def test_combiner__the_refreshing_batch_is_judged_by_the_old_references(make: Any) -> None:
    combiner = make(period=9, phase=0)
    batch = terms(0.5, -2.0)
    total = combiner(batch, ONES)
    gradients = torch.autograd.grad(total, list(batch.values()))
    assert gradients[0].item() == pytest.approx(math.exp(0.5))
    assert not any(reference.requires_grad for reference in combiner.state_dict()["references"].values())


def test_combiner__weights_multiply_the_exponentials(make: Any) -> None:
    total = make()(terms(0.5, -2.0), {"one_hot": 2.0, "class_entropy": 3.0, "inter_sample_diversity": 4.0})
    assert total.item() == pytest.approx(2 * math.exp(0.5) + 3 * math.exp(-2.0) + 0.08)


def test_combiner__terms_choose_what_is_exponential(make: Any) -> None:
    assert make(terms=("one_hot",))(terms(0.5, -2.0), ONES).item() == pytest.approx(math.exp(0.5) - 2.0 + 0.02)


def test_combiner__refuses_a_loss_that_is_left_out(make: Any) -> None:
    batch = terms(0.5, -2.0)
    del batch["class_entropy"]
    with pytest.raises(PlanError, match=r"'class_entropy', which is no active image loss here.*combiner\.terms"):
        make()(batch, ONES)
    assert make(terms=("one_hot",))(batch, ONES).item() == pytest.approx(math.exp(0.5) + 0.02)


def test_combiner__refuses_a_term_that_is_no_loss(make: Any) -> None:
    with pytest.raises(PlanError, match=r"'one_hott'.*Did you mean 'one_hot'\?.*combiner\.terms"):
        make(terms=("one_hott",))(terms(0.5, -2.0), ONES)


def test_combiner__refuses_a_phase_outside_the_period(make: Any) -> None:
    with pytest.raises(PlanError, match=r"phase 5 is never reached with period 5\. Use a phase from 0 to 4"):
        make(period=5, phase=5)


def test_combiner__resumes_bitwise(make: Any) -> None:
    combiner, batches = make(period=4, phase=2), series(20)
    for batch in batches[:9]:
        combiner(batch, ONES)
    saved = copy.deepcopy(combiner.state_dict())
    resumed = make(period=4, phase=2)
    place = resumed.state_dict()["references"]["one_hot"].data_ptr()
    resumed.load_state_dict(saved)
    assert resumed.state_dict()["references"]["one_hot"].data_ptr() == place
    for batch in batches[9:]:
        assert torch.equal(combiner(batch, ONES), resumed(batch, ONES))


def test_combiner__reads_nothing_on_the_host(make: Any, host_reads_forbidden: TorchDispatchMode) -> None:
    combiner, batches = make(period=2, phase=1), series(4)
    with host_reads_forbidden:
        for batch in batches:
            combiner(batch, ONES).backward()
