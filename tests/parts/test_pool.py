from __future__ import annotations

import copy

import pytest
import torch

from dfkdbench.parts.pool import ImagePool

CPU = torch.device("cpu")


def pool_of(capacity: int) -> ImagePool:
    return ImagePool(capacity, (1, 2, 2), CPU)


def numbered(start: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    labels = torch.arange(start, start + count)
    return labels.view(-1, 1, 1, 1).expand(-1, 1, 2, 2).float(), labels


def held(pool: ImagePool) -> list[int]:
    batch = pool.draw(2000, torch.Generator().manual_seed(0))
    assert batch.labels is not None
    assert torch.equal(batch.images[:, 0, 0, 0].long(), batch.labels)
    return sorted(set(batch.labels.tolist()))


def test_pool__keeps_everything_up_to_its_capacity_and_then_the_newest() -> None:
    pool = pool_of(7)
    seen = []
    for start in (0, 3, 6, 9):
        pool.append(*numbered(start, 3))
        seen.append(held(pool))
    assert seen == [[0, 1, 2], [*range(6)], [*range(2, 9)], [*range(5, 12)]]
    assert len(pool) == 7


def test_pool__of_a_batch_larger_than_itself_keeps_the_last_images() -> None:
    pool = pool_of(4)
    pool.append(*numbered(0, 10))
    assert held(pool) == [6, 7, 8, 9]


def test_pool__takes_soft_labels() -> None:
    pool = pool_of(3)
    soft = torch.tensor([[0.25, 0.75], [1.0, 0.0]])
    pool.append(torch.zeros(2, 1, 2, 2), soft)
    drawn = pool.draw(20, torch.Generator()).labels
    assert drawn is not None
    assert {tuple(row) for row in drawn.tolist()} == {(0.25, 0.75), (1.0, 0.0)}


@pytest.mark.parametrize("batches", [0, 1, 4])
def test_pool__resumes_exactly(batches: int) -> None:
    pool, resumed = pool_of(7), pool_of(7)
    for batch in range(batches):
        pool.append(*numbered(3 * batch, 3))
    resumed.append(*numbered(90, 2))
    resumed.load_state_dict(copy.deepcopy(pool.state_dict()))
    assert len(resumed) == len(pool)
    for one in (pool, resumed):
        one.append(*numbered(50, 5))
    assert held(pool) == held(resumed)


def test_pool__that_is_empty_gives_nothing() -> None:
    with pytest.raises(ValueError, match="empty pool"):
        pool_of(3).draw(1, torch.Generator())
