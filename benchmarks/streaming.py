"""What a folder data set of many files costs: made files, timed and deleted again.

    python -P benchmarks/streaming.py --files 100000 --workers 2

One JSON line: seconds to list the files, to hash them, to find the hash kept, and to evaluate a student on them;
memory before, and the peak of this process with its decoding processes as they share it (proportional set size).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image

from dfkdbench.datasets.folder_images import FolderImages
from dfkdbench.evaluate import evaluate

BASES = 500
CLASSES = 1000
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def make_files(root: Path, count: int, width: int) -> None:
    """JPEG files of smooth pictures in class folders; one in `BASES` is of another picture than the ones before."""
    bases = []
    for seed in range(min(BASES, count)):
        coarse = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((width, 3 * width // 4), Image.Resampling.BICUBIC).save(
            root / "base.jpg", quality=90
        )
        bases.append((root / "base.jpg").read_bytes())
    (root / "base.jpg").unlink()
    for number in range(count):
        folder = root / f"n{number % CLASSES:08d}"
        if number < CLASSES:
            folder.mkdir()
        (folder / f"made_{number:08d}.JPEG").write_bytes(bases[number % len(bases)])


class Peak:
    """The most memory of this process and its children while the block runs, in MiB."""

    def __enter__(self) -> Peak:
        self.most, self._over = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.2):
            self.most = max(self.most, memory_mb())


def memory_mb() -> float:
    """Proportional set size of this process and its children, in MiB."""
    own = os.getpid()
    children = Path(f"/proc/{own}/task/{own}/children").read_text().split()
    return sum(_pss_kb(process) for process in [str(own), *children]) / 1024


def _pss_kb(process: str) -> int:
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


class Cheap(torch.nn.Module):
    """A network that costs nothing, so that what is timed is the reading."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (B, CLASSES) of images (B, C, H, W)."""
        return images.mean((1, 2, 3)).unsqueeze(1).expand(-1, CLASSES)


def processor_seconds() -> float:
    """Of this process and of those that it started and that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def seconds_of(call: object) -> tuple[float, object]:
    """How long a call takes, and what it gives."""
    started = time.perf_counter()
    given = call()  # type: ignore[operator]
    return time.perf_counter() - started, given


def main() -> None:
    """Makes the files, measures and deletes them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--width", type=int, default=320, help="Of the pictures in the files, in pixels.")
    parser.add_argument("--size", type=int, default=224, help="Of the images after the crop.")
    given = parser.parse_args()
    torch.set_num_threads(1)
    with TemporaryDirectory(prefix="dfkdbench-files-") as folder:
        os.environ["DFKDBENCH_HOME"] = str(Path(folder) / "home")
        root = Path(folder) / "made"
        root.mkdir()
        make_files(root, given.files, given.width)
        size = sum(file.stat().st_size for file in root.rglob("*.JPEG"))
        before = memory_mb()
        index_seconds, images = seconds_of(
            lambda: FolderImages(root, given.size, given.size * 8 // 7, workers=given.workers)
        )
        assert isinstance(images, FolderImages)
        after_index = memory_mb()
        hash_seconds, _ = seconds_of(images.read_fingerprint)
        manifest_seconds, _ = seconds_of(images._take_manifest)
        processor_before = processor_seconds()
        with Peak() as peak:
            evaluation_seconds, _ = seconds_of(lambda: evaluate(Cheap(), images, MEAN, STD, "cpu"))
        found = {
            "files": given.files,
            "mib_on_disk": size / 2**20,
            "workers": given.workers,
            "index_seconds": index_seconds,
            "index_bytes_a_file": images.samples.nbytes / given.files,
            "hash_seconds": hash_seconds,
            "manifest_seconds": manifest_seconds,
            "images_a_second": given.files / evaluation_seconds,
            "processor_ms_an_image": 1000 * (processor_seconds() - processor_before) / given.files,
            "mib_before": before,
            "mib_index": after_index - before,
            "mib_peak": peak.most,
        }
        shutil.rmtree(root)
    print(json.dumps({key: round(value, 3) for key, value in found.items()}))


if __name__ == "__main__":
    main()
