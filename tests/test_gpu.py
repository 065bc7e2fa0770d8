"""What only a CUDA device shows."""

from __future__ import annotations

import pytest
import torch

import dfkdbench

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device on this machine"),
]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_run__on_a_cuda_device_under_the_seal(tmp_path, precision):
    (result,) = dfkdbench.run(
        plugin="random-generator",
        dataset="digits",
        budget="smoke",
        settings={"precision": precision},
        device="cuda",
        out=tmp_path,
    )
    assert result.status == "finished", result.error
    assert result.hardware == torch.cuda.get_device_name()
    assert result.peak_memory_mb > 0


def test_run__the_same_seed_gives_the_same_student_twice(tmp_path):
    options = {"plugin": "random-generator", "dataset": "digits", "budget": "smoke", "device": "cuda"}
    (first,) = dfkdbench.run(**options, out=tmp_path / "first")
    (second,) = dfkdbench.run(**options, out=tmp_path / "second")
    assert first.student_sha256 == second.student_sha256


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there are no two CUDA devices on this machine")
@pytest.mark.parametrize("pair", ["lenet_s:lenet_xs", "resnet_s:resnet_xs"])
def test_run__by_two_processes_on_a_device_each(tmp_path, pair):
    options = {"plugin": "random-generator", "dataset": "digits", "pair": pair, "budget": "smoke", "device": "cuda"}
    options |= {"generator": "conv", "losses": ("one_hot=1",), "settings": {"phases.distil.generator_steps": 1}}
    (one,) = dfkdbench.run(**options, out=tmp_path / "one")
    (two,) = dfkdbench.run(**options, processes=2, out=tmp_path / "two")
    assert two.status == "finished", two.error
    assert (two.processes, two.batch_statistics) == (2, "synchronised")
    assert (two.student_samples, two.teacher_queries) == (one.student_samples, one.teacher_queries)
