"""Attention over heads, against a plain reference in float64 written from the formula."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from dfkdbench.parts.aggregators import AttentionAggregator, MeanAggregator
from dfkdbench.parts.attention import HeadAttention, fit_attention
from dfkdbench.parts.options import AttentionOptions
from dfkdbench.recipe import OptimizerOptions

HEADS, IMAGES, CLASSES = 3, 40, 5


def draw(*shape: int, seed: int = 0) -> Tensor:
    return 2 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rng(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def layer(weight: Tensor, bias: float) -> HeadAttention:
    attention = HeadAttention(len(weight)).requires_grad_(False)
    attention.weight.copy_(weight)
    attention.bias.fill_(bias)
    return attention


def reference(heads: Tensor, weight: Tensor, bias: float) -> list[list[float]]:
    """sum_i a_i s_i, a_i = exp(w . s_i + b) / sum_j exp(w . s_j + b), number by number."""
    count, images, classes = heads.shape
    rows = []
    for image in range(images):
        scores = [
            math.exp(sum(float(weight[k]) * float(heads[i, image, k]) for k in range(classes)) + bias)
            for i in range(count)
        ]
        rows.append(
            [sum(scores[i] / sum(scores) * float(heads[i, image, k]) for i in range(count)) for k in range(classes)]
        )
    return rows


def test_attention__is_the_formula() -> None:
    heads, weight = draw(HEADS, IMAGES, CLASSES), draw(CLASSES, seed=1)
    found = layer(weight, 0.7)(heads)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, torch.tensor(reference(heads, weight, 0.7), dtype=torch.float64))


def test_attention__weights_are_each_images_own_and_sum_to_1() -> None:
    weights = layer(draw(CLASSES, seed=1), 0.7).attention(draw(HEADS, IMAGES, CLASSES))
    assert weights.shape == (HEADS, IMAGES)
    assert (weights > 0).all()
    torch.testing.assert_close(weights.sum(0), torch.ones(IMAGES, dtype=torch.float64))
    assert not torch.allclose(weights[:, 0], weights[:, 1])


def test_attention__follows_a_permutation_of_the_heads_and_gives_the_same_logits() -> None:
    attention, heads = layer(draw(CLASSES, seed=1), 0.7), draw(HEADS, IMAGES, CLASSES)
    order = torch.tensor([2, 0, 1])
    torch.testing.assert_close(attention.attention(heads[order]), attention.attention(heads)[order])
    torch.testing.assert_close(attention(heads[order]), attention(heads))


def test_attention__zeros_give_the_plain_mean() -> None:
    heads = draw(HEADS, IMAGES, CLASSES)
    torch.testing.assert_close(HeadAttention(CLASSES)(heads), heads.mean(0))


def test_attention__the_shared_bias_has_no_effect_and_equal_heads_are_left_as_they_are() -> None:
    heads, weight = draw(HEADS, IMAGES, CLASSES), draw(CLASSES, seed=1)
    torch.testing.assert_close(layer(weight, -50.0)(heads), layer(weight, 50.0)(heads))
    torch.testing.assert_close(layer(weight, 0.0)(heads[:1].expand(HEADS, -1, -1)), heads[0])


def test_attention__one_head_gets_all_the_weight() -> None:
    heads = draw(1, IMAGES, CLASSES)
    assert torch.equal(layer(draw(CLASSES), 0.1)(heads), heads[0])


def labelled_heads() -> tuple[Tensor, Tensor]:
    """One head that is sure and right, and two that give noise: attention to large logits pays."""
    labels = torch.arange(IMAGES) % CLASSES
    heads = 0.3 * draw(HEADS, IMAGES, CLASSES)
    heads[1] = 8.0 * torch.nn.functional.one_hot(labels, CLASSES)
    return heads, labels


def test_fit__lowers_the_loss_and_finds_the_good_head() -> None:
    heads, labels = labelled_heads()
    fitted = fit_attention(AttentionOptions(), heads.float(), labels, rng())
    loss = torch.nn.functional.cross_entropy
    assert loss(fitted(heads), labels) < loss(heads.mean(0), labels)
    assert fitted.attention(heads)[1].mean() > 0.7  # from a third
    assert not any(parameter.requires_grad for parameter in fitted.parameters())


def test_fit__first_step_from_the_mean_is_the_gradient_written_out() -> None:
    """d/dw of -ln p_y at w = 0: sum_k (p_k - y_k) d out_k / dw, d out / dw = 1/N sum_i s_i (s_i - mean)^T."""
    heads, labels = draw(HEADS, IMAGES, CLASSES), torch.arange(IMAGES) % CLASSES
    sgd = OptimizerOptions(kind="sgd", lr=0.5, momentum=0.0)
    options = AttentionOptions(epochs=1, batch_size=IMAGES, optimizer=sgd, start="mean")
    mean = heads.mean(0)
    error = mean.softmax(1) - torch.nn.functional.one_hot(labels, CLASSES)
    gradient = torch.zeros(CLASSES, dtype=torch.float64)
    for image in range(IMAGES):
        for head in range(HEADS):
            pull = float(error[image] @ heads[head, image]) / HEADS
            gradient += pull * (heads[head, image] - mean[image]) / IMAGES
    torch.testing.assert_close(fit_attention(options, heads, labels, rng()).weight, -0.5 * gradient)


@pytest.mark.parametrize(
    ("options", "same"),
    [
        (AttentionOptions(epochs=3), False),
        (AttentionOptions(epochs=3, start="mean"), True),
        (AttentionOptions(epochs=3, start="mean", batch_size=7), False),
        (AttentionOptions(epochs=3, start="mean", batch_size=7, order="stored"), True),
    ],
    ids=["random-start", "one-batch", "shuffled", "stored"],
)
def test_fit__is_the_same_for_the_same_seed_and_options_say_what_is_random(
    options: AttentionOptions, same: bool
) -> None:
    heads, labels = labelled_heads()
    first, again, other = (fit_attention(options, heads, labels, rng(seed)).weight for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert torch.allclose(first, other, rtol=1e-9) == same


def test_fit__counts_epochs_and_leaves_the_global_random_state_alone() -> None:
    heads, labels = labelled_heads()
    before = torch.get_rng_state()
    constant = OptimizerOptions(kind="sgd", lr=1.0, momentum=0.0, schedule="multistep", milestones=(0.5,), gamma=1e-9)
    long, short = (
        fit_attention(
            AttentionOptions(epochs=epochs, batch_size=16, optimizer=optimizer, start="mean", order="stored"),
            heads,
            labels,
            rng(),
        ).weight
        for epochs, optimizer in ((2, constant), (1, OptimizerOptions(kind="sgd", lr=1.0, momentum=0.0)))
    )
    torch.testing.assert_close(long, short, rtol=1e-6, atol=1e-6)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(("available", "expected"), [(60_000, 600), (50_000, 500), (1297, 13), (20, 1)])
def test_samples__are_the_first_percent_of_the_training_images(available: int, expected: int) -> None:
    chosen = AttentionAggregator.choose_samples(AttentionOptions(), available)
    assert torch.equal(chosen, torch.arange(expected))
    assert len(AttentionAggregator.choose_samples(AttentionOptions(samples=7), available)) == 7


def test_samples__drawn_at_random_are_distinct_and_the_same_every_time() -> None:
    options = AttentionOptions(samples=50, pick="random")
    chosen = AttentionAggregator.choose_samples(options, 100)
    assert len(set(chosen.tolist())) == 50
    assert int(chosen.max()) < 100
    assert not torch.equal(chosen, torch.arange(50))
    assert torch.equal(chosen, AttentionAggregator.choose_samples(options, 100))


def test_in_training__it_is_the_mean() -> None:
    assert issubclass(AttentionAggregator, MeanAggregator)
    assert AttentionAggregator.__call__ is MeanAggregator.__call__
    assert AttentionAggregator.__init__ is MeanAggregator.__init__
