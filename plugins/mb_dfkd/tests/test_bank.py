from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from dfkdbench.checkpoint import load_tree, save_tree
from dfkdbench.errors import PlanError
from dfkdbench.seams import Batch, Setting, Signal
from dfkdbench_mb_dfkd.bank import BankReplay
from dfkdbench_mb_dfkd.options import BankOptions

MakeBank = Callable[..., BankReplay]


@pytest.fixture
def make(make_setting: Callable[..., Setting]) -> MakeBank:
    def build(seed: int = 0, batch_size: int = 16, replay_size: int = 4, **options: Any) -> BankReplay:
        setting = make_setting(seed, batch_size=batch_size, replay_size=replay_size)
        return BankReplay(BankOptions.model_validate(options), setting)

    return build


def numbered(step: int, size: int = 16) -> Batch:
    """Images whose pixels and labels say in which step and at which place they were."""
    ranks = torch.arange(size) + 1000 * step
    return Batch(ranks.float().view(-1, 1, 1, 1).expand(-1, 1, 8, 8).contiguous(), ranks)


def never(images: Tensor) -> Signal:
    raise AssertionError("a bank asks no teacher")


def stored(bank: BankReplay) -> list[int]:
    images = bank.state_dict()["images"]
    return [] if images is None else images[:, 0, 0, 0].int().tolist()


def show(bank: BankReplay, steps: int) -> None:
    for step in range(1, steps + 1):
        bank.observe(numbered(step), never)


def test_bank__is_empty_until_the_first_push(make: MakeBank) -> None:
    bank = make(first_push=3, push_every=5)
    for step in range(1, 4):
        assert bank.sample(4, never) is None
        assert bank.nbytes == 0
        bank.observe(numbered(step), never)
    assert stored(bank) == [3000, 3001, 3002, 3003]


def test_bank__schedule_is_that_of_five_of_four_hundred_epochs(make_setting: Callable[..., Setting]) -> None:
    bank = BankReplay(BankOptions(), make_setting(student_steps=144_000, replay_size=1))
    pushed = []
    for step in range(1, 4000):
        before = len(bank)
        bank.observe(Batch(torch.zeros(1, 1, 8, 8)), never)
        pushed += [step] if len(bank) > before else []
    assert pushed == [360, 2160, 3960]


def test_ring__after_k_pushes_holds_the_newest_and_nothing_else(make: MakeBank) -> None:
    for pushes in range(1, 9):
        bank = make(capacity=12, push_every=1, first_push=1)
        show(bank, pushes)
        images = bank.state_dict()["images"]
        newest = range(max(1, pushes - 2), pushes + 1)
        assert sorted(stored(bank)) == sorted(1000 * push + index for push in newest for index in range(4))
        slot = (pushes - 1) % 3
        assert torch.equal(images[4 * slot : 4 * slot + 4], numbered(pushes).images[:4])
        assert bank.nbytes == min(pushes, 3) * 4 * (64 * 4 + 8)


def test_ring__draws_whole_pushes_with_their_labels(make: MakeBank) -> None:
    bank = make(capacity=12, push_every=1, first_push=1)
    show(bank, 3)
    drawn = set()
    for _ in range(30):
        batch = bank.sample(4, never)
        assert batch is not None
        assert batch.labels is not None
        first = int(batch.labels[0])
        assert batch.labels.tolist() == [first, first + 1, first + 2, first + 3]
        assert torch.equal(batch.images[:, 0, 0, 0].long(), batch.labels)
        drawn.add(first)
    assert drawn == {1000, 2000, 3000}
    more = bank.sample(10, never)
    assert more is not None
    assert len(more.images) == 10


def test_ring__capacity_is_rounded_down_to_whole_pushes(make: MakeBank) -> None:
    bank = make(capacity=11, push_every=1, first_push=1)
    show(bank, 5)
    assert len(bank) == 8


def test_fifo__holds_the_newest_images_and_draws_one_by_one(make: MakeBank) -> None:
    bank = make(policy="fifo", capacity=10, push_every=1, first_push=1)
    show(bank, 5)
    assert sorted(stored(bank)) == [3002, 3003, *range(4000, 4004), *range(5000, 5004)]
    seen: set[int] = set()
    for _ in range(30):
        batch = bank.sample(4, never)
        assert batch is not None
        seen |= set(batch.images[:, 0, 0, 0].int().tolist())
    assert seen == set(stored(bank))


def test_fifo__a_push_larger_than_the_capacity_leaves_its_end(make: MakeBank) -> None:
    bank = make(policy="fifo", capacity=3, push_size=16, push_every=1, first_push=1)
    show(bank, 1)
    assert sorted(stored(bank)) == [1013, 1014, 1015]


def test_reservoir__keeps_every_image_of_the_stream_with_equal_probability(make: MakeBank) -> None:
    counts = torch.zeros(48)
    for seed in range(400):
        bank = make(seed, policy="reservoir", capacity=12, push_size=16, push_every=1, first_push=1)
        for step in range(3):
            bank.observe(Batch(torch.arange(16 * step, 16 * step + 16).float().view(-1, 1, 1, 1)), never)
        kept = bank.state_dict()["images"].flatten().long()
        assert len(kept) == len(set(kept.tolist())) == 12
        counts[kept] += 1
    thirds = counts.view(3, 16).sum(1) / (400 * 16)
    torch.testing.assert_close(thirds, torch.full((3,), 12 / 48), atol=0.02, rtol=0)


@pytest.mark.parametrize("policy", ["ring", "fifo", "reservoir"])
def test_bank__bytes_grow_to_the_capacity_and_stay(make: MakeBank, policy: str) -> None:
    bank = make(policy=policy, capacity=12, push_every=1, first_push=1)
    sizes = []
    for step in range(1, 10):
        bank.observe(numbered(step), never)
        sizes.append(bank.nbytes)
    assert sizes == sorted(sizes)
    assert sizes[2:] == [12 * (64 * 4 + 8)] * 7


@pytest.mark.parametrize("policy", ["ring", "fifo", "reservoir"])
def test_bank__what_is_stored_moves_seldom_while_it_fills(make: MakeBank, policy: str) -> None:
    bank = make(policy=policy, capacity=256, push_every=1, first_push=1)
    places = []
    for step in range(1, 65):
        bank.observe(numbered(step), never)
        places.append(bank.state_dict()["images"].data_ptr())
    assert len(bank) == 256
    assert sum(one != other for one, other in itertools.pairwise(places)) == 6  # 4 images, 8, 16, ... 256


def test_bank__published_sizes(make_setting: Callable[..., Setting]) -> None:
    setting = make_setting(image_shape=(3, 32, 32), batch_size=1024, replay_size=128)
    bank = BankReplay(BankOptions(push_every=1, first_push=1), setting)
    for _ in range(12):
        bank.observe(Batch(torch.zeros(1024, 3, 32, 32)), never)
    assert bank.nbytes == 15 * 2**20


def test_bank__stored_images_are_copies_without_gradient(make: MakeBank) -> None:
    bank = make(push_every=1, first_push=1)
    images = numbered(1).images.requires_grad_()
    bank.observe(Batch(images), never)
    with torch.no_grad():
        images.zero_()
    first = bank.sample(4, never)
    assert first is not None
    assert not first.images.requires_grad
    assert first.labels is None
    first.images.zero_()
    assert stored(bank) == [1000, 1001, 1002, 1003]


@pytest.mark.parametrize("policy", ["ring", "fifo", "reservoir"])
def test_bank__resumes_to_the_bit(make: MakeBank, tmp_path: Any, policy: str) -> None:
    options = {"policy": policy, "capacity": 12, "push_every": 2, "first_push": 1}
    for stop in (0, 1, 9):
        first = make(**options)
        show(first, stop)
        for _ in range(stop):
            first.sample(4, never)
        save_tree(first.state_dict(), tmp_path / "state.safetensors")
        second = make(seed=1, **options)
        second.load_state_dict(load_tree(tmp_path / "state.safetensors"))
        for step in range(stop + 1, stop + 12):
            for bank in (first, second):
                bank.observe(numbered(step), never)
            mine, other = first.sample(4, never), second.sample(4, never)
            assert (mine is None) == (other is None)
            if mine is not None and other is not None:
                assert torch.equal(mine.images, other.images)
        assert second.nbytes == first.nbytes


def test_bank__loading_does_not_share_memory(make: MakeBank) -> None:
    bank = make(push_every=1, first_push=1)
    show(bank, 1)
    saved = bank.state_dict()
    kept = copy.deepcopy(saved)
    other = make(push_every=1, first_push=1, capacity=4)
    other.load_state_dict(saved)
    show(other, 3)
    assert torch.equal(saved["images"], kept["images"])


def test_bank__capacity_below_one_push_is_refused(make: MakeBank) -> None:
    with pytest.raises(PlanError, match=r"whole pushes of 4 images.*capacity of 3.*replay\.capacity=40"):
        make(capacity=3)


def test_bank__capacity_beyond_the_device_is_refused(make: MakeBank) -> None:
    with pytest.raises(PlanError, match=r"capacity of 1,000,000,000,000 images.*GiB.*replay\.capacity=N"):
        make(capacity=10**12)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_bank__small_and_odd_batches(make: MakeBank, batch_size: int) -> None:
    bank = make(batch_size=batch_size, replay_size=1, push_every=1, first_push=1)
    for step in range(3):
        bank.observe(numbered(step, batch_size), never)
    batch = bank.sample(1, never)
    assert batch is not None
    assert batch.images.shape == (1, 1, 8, 8)
