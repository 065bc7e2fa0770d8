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
