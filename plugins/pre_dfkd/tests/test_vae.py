from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dfkdbench.checkpoint import load_tree, save_tree
from dfkdbench.errors import PlanError
from dfkdbench.seams import Batch, Setting
from dfkdbench_pre_dfkd.encoder import Encoder
from dfkdbench_pre_dfkd.options import TuningOptions, VaeOptions
from dfkdbench_pre_dfkd.tuning import LatentTuning
from dfkdbench_pre_dfkd.vae import VaeReplay

MakeSetting = Callable[..., Setting]
SMALL = {"latent": 12, "decoder_channels": (8, 8, 4), "encoder_channels": (4, 8, 8)}


@pytest.fixture
def make(make_setting: MakeSetting) -> Callable[..., VaeReplay]:
    def build(seed: int = 0, **options: Any) -> VaeReplay:
        return VaeReplay(VaeOptions.model_validate(SMALL | options), make_setting(seed))

    return build


def batch(seed: int = 0, rows: int = 16) -> Batch:
    return Batch(torch.randn(rows, 1, 8, 8, generator=torch.Generator().manual_seed(seed)))


def weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def same(network: nn.Module, before: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_vae__has_the_published_size(make_setting: MakeSetting) -> None:
    memory = VaeReplay(VaeOptions(), make_setting(image_shape=(3, 32, 32)))
    assert sum(p.numel() for p in memory.decoder.parameters()) == 8_423_939
    assert sum(p.numel() for p in memory.encoder.parameters()) == 4_321_872
    assert 3 * 12_745_811 * 4 < memory.nbytes < 3 * 12_745_811 * 4 + 10_000


def test_vae__weights_start_uniform_and_biases_at_zero(make: Any) -> None:
    memory = make()
    assert memory.decoder.project.weight.abs().max() <= 0.08
    assert memory.encoder.mean.weight.std().item() == pytest.approx(0.16 / math.sqrt(12), rel=0.1)
    assert memory.encoder.layers[0].bias.abs().max() == 0


@pytest.mark.parametrize("norm", ["columns", "image", "none"])
def test_encoder__normalises_its_input(norm: Any) -> None:
    encoder = Encoder((4, 4, 4), 3, (2, 12, 8), norm).eval()
    images = torch.randn(3, 2, 12, 8)
    lengths = {
        "columns": images.square().sum(2, keepdim=True).sqrt(),
        "image": images.square().sum((1, 2, 3), keepdim=True).sqrt(),
        "none": torch.ones(1),
    }[norm]
    plain = Encoder((4, 4, 4), 3, (2, 12, 8), "none").eval()
    plain.load_state_dict(encoder.state_dict())
    for mine, other in zip(encoder(images), plain(images / lengths), strict=True):
        torch.testing.assert_close(mine, other)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 8, 20), (3, 64, 32)])
def test_vae__takes_images_of_any_shape_divisible_by_four(make_setting: MakeSetting, shape: Any) -> None:
    memory = VaeReplay(VaeOptions.model_validate(SMALL), make_setting(image_shape=shape))
    images = torch.randn(3, *shape)
    assert memory.encoder(images)[0].shape == (3, 12)
    assert memory.decoder(torch.randn(3, 12)).shape == images.shape


@pytest.mark.parametrize(("shape", "words"), [((1, 4, 4), "at least 8"), ((1, 30, 30), "divisible by 4")])
def test_vae__refuses_images_it_can_not_encode_or_decode(make_setting: MakeSetting, shape: Any, words: str) -> None:
    with pytest.raises(PlanError, match=words):
        VaeReplay(VaeOptions.model_validate(SMALL), make_setting(image_shape=shape))


def test_objective__is_the_formula(make: Any, teacher: Any) -> None:
    memory = make(pixel_weight=2.0, logit_weight=0.5, kl_weight=0.1)
    for network in (memory.encoder, memory.decoder, teacher):
        network.double().eval()
    images = batch().images.double()
    noise = torch.randn(16, 12, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    mean, log_variance = memory.encoder(images)
    decoded = memory.decoder(mean + noise * torch.exp(log_variance / 2))
    divergence = sum(
        0.5 * (math.exp(v) + m * m - 1 - v)
        for m, v in zip(mean.flatten().tolist(), log_variance.flatten().tolist(), strict=True)
    )
    logits, wanted = teacher.layers(decoded), teacher.layers(images)
    expected = 2 * (decoded - images).abs().sum() / images.numel()
    expected = expected + 0.5 * (logits - wanted).abs().sum() / wanted.numel() + 0.1 * divergence / 16
    torch.testing.assert_close(memory.objective(images, noise, teacher.target_of), expected)


@pytest.mark.parametrize(("shift", "expected"), [(0.0, 0.0), (1.0, 0.005)])
def test_objective__divergence_of_a_shifted_latent(
    make_setting: MakeSetting, teacher: Any, shift: float, expected: float
) -> None:
    options = VaeOptions.model_validate({**SMALL, "latent": 1000, "pixel_weight": 0.0, "logit_weight": 0.0})
    memory = VaeReplay(options, make_setting())
    for layer in (memory.encoder.mean, memory.encoder.log_variance):
        nn.init.zeros_(layer.weight)
    nn.init.constant_(memory.encoder.mean.bias, shift)
    loss = memory.objective(batch().images, torch.zeros(16, 1000), teacher.target_of)
    assert loss.item() == pytest.approx(expected, abs=1e-8)
    assert teacher.batches == []


def test_tuning__moves_no_coordinate_further_than_the_rate_and_helps(
    make: Any, make_setting: MakeSetting, teacher: Any
) -> None:
    memory = make()
    memory.decoder.eval()
    tuning = LatentTuning(TuningOptions(prior=0.0), make_setting())
    before, after = [], []
    for seed in range(20):
        latents = torch.randn(32, 12, generator=torch.Generator().manual_seed(seed))
        tuned = tuning(latents.clone(), memory.decoder, teacher.target_of)
        assert (tuned - latents).abs().max() <= 0.02 + 1e-6
        assert not torch.equal(tuned, latents)
        for where, values in ((before, latents), (after, tuned)):
            where.append(tuning.objective(values, memory.decoder(values), teacher.target_of).item())
    assert sum(after) < sum(before)


def test_tuning__objective_is_the_formula(make_setting: MakeSetting, teacher: Any) -> None:
    tuning = LatentTuning(TuningOptions(class_balance=5.0, confidence=2.0, prior=3.0), make_setting())
    teacher.double()
    latents, images = (torch.randn(6, 12, dtype=torch.float64), torch.randn(6, 1, 8, 8, dtype=torch.float64))
    p = torch.softmax(teacher.layers(images), 1)
    balance = sum(m * math.log10(m) for m in p.mean(0).tolist())
    confidence = -p.max(1).values.log().mean()
    mean = latents.sum(0) / 6
    variance = (latents - mean).square().sum(0) / 5
    prior = (variance - 1).square().sum() / 12 + mean.square().sum() / 12
    expected = 5 * balance + 2 * confidence + 3 * prior
    torch.testing.assert_close(tuning.objective(latents, images, teacher.target_of), expected)


def test_tuning__prior_of_fresh_latents(make_setting: MakeSetting, teacher: Any) -> None:
    tuning = LatentTuning(TuningOptions(class_balance=0.0, confidence=0.0), make_setting())
    latents = torch.randn(128, 1000, generator=torch.Generator().manual_seed(0))
    assert tuning.objective(latents, torch.zeros(128, 1, 8, 8), teacher.target_of).item() == pytest.approx(
        0.023, abs=0.002
    )


def test_tuning__of_a_single_latent_is_finite(make_setting: MakeSetting, make: Any, teacher: Any) -> None:
    tuned = LatentTuning(TuningOptions(), make_setting())(torch.randn(1, 12), make().decoder, teacher.target_of)
    assert tuned.isfinite().all()


def test_sample__is_from_the_first_step_on_in_eval_mode_and_leaves_no_trace(make: Any, teacher: Any) -> None:
    memory = make()
    before = weights(memory.decoder)
    first = memory.sample(4, teacher.target_of)
    second = memory.sample(4, teacher.target_of)
    assert first.images.shape == (4, 1, 8, 8)
    assert not first.images.requires_grad
    assert not torch.equal(first.images, second.images)
    assert same(memory.decoder, before)
    assert all(parameter.grad is None for parameter in memory.decoder.parameters())
    assert teacher.batches == [4, 4]


def test_observe__four_steps_of_ten_on_half_the_batch_and_what_the_memory_makes(make: Any, teacher: Any) -> None:
    memory = make()
    learned = []
    for step in range(20):
        before, teacher.batches = weights(memory.decoder), []
        memory.observe(batch(step), teacher.target_of)
        learned.append(not same(memory.decoder, before))
        if step < 4:
            assert teacher.batches == [8, 8]
        elif step in range(10, 14):
            assert teacher.batches == [4, 12, 12]
        else:
            assert teacher.batches == []
    assert learned == ([True] * 4 + [False] * 6) * 2


def test_observe__teaches_the_memory_what_the_stream_looks_like(make: Any, teacher: Any) -> None:
    memory = make(train_steps=10, lr=5e-3)
    images = torch.linspace(-1, 1, 64).view(1, 1, 8, 8) * torch.tensor([1.0, -1.0] * 8).view(16, 1, 1, 1)
    noise = torch.zeros(8, 12)
    first = memory.objective(images[:8], noise, teacher.target_of).item()
    for _ in range(60):
        memory.observe(Batch(images), teacher.target_of)
    assert memory.objective(images[:8], noise, teacher.target_of).item() < 0.8 * first


def test_leak__decides_whether_tuning_trains_the_decoder(make: Any, teacher: Any) -> None:
    grown = {}
    for leak in (True, False):
        memory = make(leak_tuning_grad=leak, cycle=1, train_steps=1, pixel_weight=0.0, logit_weight=0.0, kl_weight=0.0)
        memory.observe(batch(0), teacher.target_of)
        before = weights(memory.decoder)
        memory.observe(batch(1), teacher.target_of)
        grown[leak] = not torch.equal(before["project.weight"], memory.decoder.project.weight)
    assert grown == {True: True, False: False}


def test_leak__is_the_gradient_of_the_tuning_added_to_that_of_the_objective(make: Any, teacher: Any) -> None:
    gradients = []
    for leak in (False, True):
        memory = make(leak_tuning_grad=leak, cycle=1)
        memory.observe(batch(0), teacher.target_of)
        twin = copy.deepcopy(memory)
        memory.observe(batch(1), teacher.target_of)
        gradients.append(memory.decoder.project.weight.grad.clone())
    latents = twin._draw(4).requires_grad_()
    twin.decoder.train()
    loss = twin._tuning.objective(latents, twin.decoder(latents), teacher.target_of)
    (expected,) = torch.autograd.grad(loss, twin.decoder.project.weight)
    torch.testing.assert_close(gradients[1] - gradients[0], expected)


def test_nbytes__is_constant_and_what_is_held(make: Any, teacher: Any) -> None:
    memory = make()
    start = memory.nbytes
    for step in range(12):
        memory.observe(batch(step), teacher.target_of)
        memory.sample(4, teacher.target_of)
        assert memory.nbytes == start
    state = memory.state_dict()
    networks = [value for name in ("encoder", "decoder") for value in state[name].values()]
    moments = [moment[name] for moment in state["optimizer"]["moments"] for name in ("exp_avg", "exp_avg_sq")]
    assert start == sum(held.nbytes for held in networks + moments)


@pytest.mark.parametrize("stop", [0, 3, 11])
def test_vae__resumes_to_the_bit(make: Any, teacher: Any, tmp_path: Any, stop: int) -> None:
    first = make()
    for step in range(stop):
        first.sample(4, teacher.target_of)
        first.observe(batch(step), teacher.target_of)
    save_tree(first.state_dict(), tmp_path / "state.safetensors")
    second = make(seed=1)
    second.load_state_dict(load_tree(tmp_path / "state.safetensors"))
    for step in range(stop, stop + 14):
        mine, other = (memory.sample(4, teacher.target_of).images for memory in (first, second))
        assert torch.equal(mine, other)
        for memory in (first, second):
            memory.observe(batch(step), teacher.target_of)
    assert same(first.encoder, weights(second.encoder))


def test_vae__keeps_no_images(make: Any, teacher: Any) -> None:
    memory = make()
    memory.observe(batch(), teacher.target_of)
    shapes = [tuple(value.shape) for part in ("encoder", "decoder") for value in memory.state_dict()[part].values()]
    assert not any(shape[1:] == (1, 8, 8) for shape in shapes)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_vae__small_and_odd_batches(make_setting: MakeSetting, teacher: Any, batch_size: int) -> None:
    setting = make_setting(batch_size=batch_size, replay_size=1)
    memory = VaeReplay(VaeOptions.model_validate(SMALL | {"cycle": 1, "train_steps": 1}), setting)
    for step in range(3):
        memory.observe(batch(step, batch_size), teacher.target_of)
    assert memory.sample(1, teacher.target_of).images.isfinite().all()
