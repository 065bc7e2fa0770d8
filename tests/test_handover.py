"""Images handed over at the end of a run: what is written, and what the judge takes."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save
from torch import Tensor

import dfkdbench
from dfkdbench.errors import IntegrityError
from dfkdbench.files import sha256_of
from dfkdbench.handover import MOST_BYTES, read_images, sample_images, shape_of
from dfkdbench.plan import InputSpec
from dfkdbench.records import Result
from dfkdbench.registry import load_registry
from dfkdbench.seams import Batch


def spec(channels: int = 1, image_size: int = 16) -> InputSpec:
    return InputSpec(
        dataset="toy",
        classes=10,
        channels=channels,
        image_size=image_size,
        mean=(0.5,) * channels,
        std=(0.5,) * channels,
    )


SHAPE = shape_of(spec())


class Counting:
    """Gives images that say which they are, and notes how many were asked for."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def sample(self, count: int) -> Batch:
        first = sum(self.asked)
        self.asked.append(count)
        return Batch((first + torch.arange(count)).float().view(-1, 1, 1, 1).expand(count, *SHAPE[1:]))


@pytest.mark.parametrize(("batch_size", "draws"), [(1, 512), (64, 8), (200, 3), (512, 1), (1000, 1)])
def test_sample_images__are_the_first_512_drawn_in_batches_of_the_run(
    batch_size: int, draws: int, tmp_path: Path
) -> None:
    generator = Counting()
    path = tmp_path / "images"
    path.write_bytes(sample_images(generator, spec(), batch_size))
    assert generator.asked == [batch_size] * draws
    found = read_images(path, spec())
    assert found.images.shape == (512, 1, 16, 16)
    assert found.images[:, 0, 0, 0].tolist() == list(range(512))
    assert found.sha256 == sha256_of(path.read_bytes())


@pytest.mark.parametrize(
    ("channels", "image_size", "count"), [(1, 16, 512), (3, 32, 512), (3, 64, 512), (3, 224, 222), (3, 8192, 2)]
)
def test_shape_of__is_bounded(channels: int, image_size: int, count: int) -> None:
    assert shape_of(spec(channels, image_size)) == (count, channels, image_size, image_size)
    assert count == 2 or count * channels * image_size**2 * 2 <= MOST_BYTES


def zeros(*shape: int, dtype: torch.dtype = torch.float16) -> Tensor:
    return torch.zeros(shape, dtype=dtype)


GOOD = save({"images": zeros(*SHAPE)})
ENDLESS = json.dumps({"images": {"dtype": "F16", "shape": [1 << 60], "data_offsets": [0, 1 << 61]}}).encode()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (save({"images": zeros(511, *SHAPE[1:])}), r"shape \(511, 1, 16, 16\), expected torch.float16 of shape \(512"),
        (save({"images": zeros(512, 2, 16, 8)}), r"shape \(512, 2, 16, 8\)"),
        (save({"images": zeros(512 * 256)}), r"shape \(131072,\)"),
        (save({"images": zeros(256, *SHAPE[1:], dtype=torch.float32)}), r"torch.float32 images"),
        (save({"images": zeros(*SHAPE, dtype=torch.bfloat16)}), r"torch.bfloat16 images"),
        (save({"images": zeros(*SHAPE, dtype=torch.int16)}), r"torch.int16 images"),
        (save({"images": zeros(*SHAPE), "more": zeros(1)}), "holds 2 tensors, expected one called 'images'"),
        (save({"other": zeros(*SHAPE)}), "holds 1 tensors"),
        (save({}), "holds 0 tensors"),
        (save({"images": zeros(513, *SHAPE[1:]), "more": zeros(4000)}), "at most 266240 were expected"),
        (GOOD[:-1], "damaged or truncated"),
        (len(ENDLESS).to_bytes(8, "little") + ENDLESS, "damaged or truncated"),
        ((1 << 62).to_bytes(8, "little") + b"{}", "damaged or truncated"),
        (pickle.dumps([1], protocol=4), "a pickle, which could run code when loaded; only safetensors"),
        (b"", "no safetensors file"),
    ],
)
def test_read_images__refuses(data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "images"
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match=message):
        read_images(path, spec())


def test_read_images__refuses_links_devices_and_nothing(tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(GOOD)
    (tmp_path / "link").symlink_to(tmp_path / "there")
    os.mkfifo(tmp_path / "fifo")
    assert read_images(tmp_path / "there", spec()).images.shape == SHAPE
    for name in ("link", "fifo", "missing"):
        with pytest.raises(IntegrityError):
            read_images(tmp_path / name, spec())


def test_read_images__leaves_values_that_are_not_finite_to_the_figures(tmp_path: Path) -> None:
    images = zeros(*SHAPE)
    images[0] = torch.nan
    images[1] = torch.inf
    (tmp_path / "images").write_bytes(save({"images": images}))
    found = read_images(tmp_path / "images", spec()).images
    assert int(found.isfinite().flatten(1).all(1).sum()) == 510


OVERWRITES = """
    import atexit
    from pathlib import Path

    from dfkdbench import Component, LossChoice, Method, PartChoice, Phase, Recipe, hookimpl
    from dfkdbench.parts.generators.noise import NoiseGenerator

    API = 1

    class Overwriting(NoiseGenerator):
        def __init__(self, options, setting):
            super().__init__(options, setting)
            atexit.register(self.overwrite)

        def overwrite(self):
            BODY

    @hookimpl
    def dfkdbench_generators():
        return [Component(kind="generator", name="over", target="overwrites:Overwriting", summary="Hostile.")]

    @hookimpl
    def dfkdbench_methods():
        recipe = Recipe(
            generator=PartChoice(name="over"),
            student_losses={"kl": LossChoice()},
            phases={"distil": Phase(generator_steps=0)},
        )
        return [Method(name="overwrites", summary="Hostile.", recipe=recipe)]
"""


@pytest.fixture
def run_hostile(
    make_distribution: Callable[..., str], tmp_path: Path, request: pytest.FixtureRequest
) -> Callable[[str], Result]:
    """Runs a method on noise whose worker executes some code when its session has ended."""

    def run(code: str) -> Result:
        body = ("\n" + " " * 12).join(code.splitlines())
        make_distribution("overwrites", OVERWRITES.replace("BODY", body))
        load_registry.cache_clear()
        request.addfinalizer(load_registry.cache_clear)
        (result,) = dfkdbench.run(
            plugin="overwrites", dataset="digits", budget="smoke", settings={"batch_size": 64}, out=tmp_path / "runs"
        )
        return result

    return run


def test_run__images_that_a_worker_spoils_fail_the_run_and_leave_its_curve(
    run_hostile: Callable[[str], Result], tmp_path: Path
) -> None:
    result = run_hostile('Path("../snapshots/samples.safetensors").write_bytes(bytes(16))')
    assert (result.status, result.accuracy_final, result.student_sha256) == ("failed", None, None)
    assert result.error == "samples.safetensors is no safetensors file; only safetensors files are read."
    assert len(result.evaluations) == 2
    folder = tmp_path / "runs" / result.run_id
    assert not (folder / "synthetic.safetensors").exists()
    assert not (folder / "student.safetensors").exists()


def test_run__an_early_snapshot_handed_out_again_is_not_the_final_student(
    run_hostile: Callable[[str], Result], tmp_path: Path
) -> None:
    result = run_hostile(
        "from safetensors.torch import load_file, save_file\n"
        'early = "../snapshots/0000.safetensors"\n'
        "save_file({name: tensor * 0 for name, tensor in load_file(early).items()}, early)\n"
        'reports = Path("reports.jsonl")\n'
        "again = next(line for line in reports.read_text().splitlines() if '\"index\": 0' in line)\n"
        'reports.open("a").write(again + "\\n")'
    )
    assert (result.status, result.accuracy_final, result.student_sha256) == ("failed", None, None)
    assert result.error == "The worker handed out snapshot 0 after snapshot 1."
    assert not (tmp_path / "runs" / result.run_id / "student.safetensors").exists()
