"""The kit itself: what it can't be fooled by, and the pytest plugin that brings it to authors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dfkdbench.conformance import CHECKS
from dfkdbench.conformance.shapes import equal_trees
from dfkdbench.conformance.steps import watched_host_reads
from dfkdbench.conformance.task import Task, teachers_of

READINGS = {
    "item": lambda tensor: tensor.sum().item(),
    "float": lambda tensor: float(tensor.sum()),
    "branch": lambda tensor: 1 if tensor.sum() > 0 else 2,
    "index": lambda tensor: [0, 1, 2][tensor.argmax().to(torch.int64)],
    "cpu": lambda tensor: tensor.cpu(),
    "to": lambda tensor: tensor.to("cpu"),
    "to by keyword": lambda tensor: tensor.to(device="cpu"),
    "numpy": lambda tensor: tensor.numpy(),
    "tolist": lambda tensor: tensor.tolist(),
    "print": lambda tensor: repr(tensor),
    "nonzero": lambda tensor: tensor.nonzero(),
    "mask": lambda tensor: tensor[tensor > 0],
    "write by mask": lambda tensor: tensor.index_put_((tensor > 0,), torch.ones(2)),
    "unique": lambda tensor: tensor.unique(),
    "equal": lambda tensor: torch.equal(tensor, tensor),
}
HARMLESS = {
    "to the device of another": lambda tensor: torch.ones(3).to(tensor.device) + torch.ones(3).to(device=tensor.device),
    "where": lambda tensor: torch.where(tensor > 0, tensor, 0),
    "fill": lambda tensor: tensor.masked_fill(tensor > 0, 0),
    "places": lambda tensor: tensor[torch.tensor([0, 2])],
    "argmax": lambda tensor: tensor.argmax(),
    "type": lambda tensor: tensor.to(torch.float64),
    "shape": lambda tensor: len(tensor) + tensor.shape[0],
}


@pytest.mark.parametrize("name", READINGS)
def test_host_reads__are_seen(name: str) -> None:
    with watched_host_reads() as reads:
        READINGS[name](torch.tensor([1.0, -1.0, 2.0]))
    assert reads.found
    assert reads.found[0].startswith("test_kit.py:")


@pytest.mark.parametrize("name", HARMLESS)
def test_host_reads__what_stays_on_the_device_is_let_be(name: str) -> None:
    with watched_host_reads() as reads:
        HARMLESS[name](torch.tensor([1.0, -1.0, 2.0]))
    assert reads.found == []


def test_trees__equal_to_the_bit() -> None:
    tree = {"a": [torch.ones(2), 1], "b": (None, "x")}
    assert equal_trees(tree, {"a": [torch.ones(2), 1], "b": (None, "x")})
    for other in (
        {"a": [torch.ones(2), 1]},
        {"a": [torch.ones(3), 1], "b": (None, "x")},
        {"a": [torch.ones(2, dtype=torch.float64), 1], "b": (None, "x")},
        {"a": [torch.ones(2), 2], "b": (None, "x")},
    ):
        assert not equal_trees(tree, other)


def test_toy_teacher__knows_its_task() -> None:
    from dfkdbench.conformance.networks import toy_teacher
    from dfkdbench.weights import load_weights, read_weights

    task = Task()
    (bundle,) = teachers_of(task, 1)
    network = toy_teacher(task.channels, task.classes, task.image_size)
    load_weights(network, read_weights(bundle.weights, bundle.sha256), "the toy teacher")
    images, labels = task.draw(400, seed=5)
    assert (network.eval()(images).argmax(1) == labels).float().mean() > 0.95


AUTHORS_TEST = """
import pytest


@pytest.mark.dfkdbench("kl", only=("light", "options", "gradients"))
def test_conforms(conformance_check):
    conformance_check()


@pytest.mark.dfkdbench("noise", only=("gradients",))
def test_does_not_apply(conformance_check):
    conformance_check()
"""


def pytest_in(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "pytest", "-p", "no:cacheprovider", "-v", "-rs", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_pytest_plugin__an_authors_three_lines(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(AUTHORS_TEST, encoding="utf-8")
    done = pytest_in(tmp_path, "--strict-markers")
    assert done.returncode == 0, done.stdout
    for name in ("light", "options", "gradients"):
        assert f"test_conforms[loss-kl-{name}] PASSED" in done.stdout
    assert "test_does_not_apply[generator-noise-gradients] SKIPPED" in done.stdout
    assert "does not apply: the generator does not provide images_with_gradient" in done.stdout


def test_pytest_plugin__from_the_package(tmp_path: Path) -> None:
    arguments = ("--pyargs", "dfkdbench.conformance.test_conformance", "--conforms", "lenet_s")
    done = pytest_in(tmp_path, *arguments)
    assert done.returncode == 0, done.stdout
    assert "test_conformance[model-lenet_s-weights] PASSED" in done.stdout


def test_pytest_plugin__imports_nothing_of_the_suite_that_is_heavy() -> None:
    heavy = "{'torch', 'pandas', 'numpy', 'pydantic', 'click', 'pluggy'}"
    code = (
        "import sys, pytest; before = set(sys.modules); import dfkdbench.pytest_plugin;"
        f"sys.exit(', '.join({heavy} & (set(sys.modules) - before)) or 0)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_documentation__has_every_check_with_what_it_holds_and_what_to_do() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "conformance.md").read_text(encoding="utf-8")
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| `")]
    told = [(cells[0].strip("| `"), cells[2], cells[3].removesuffix(" |")) for cells in rows]
    assert told == [(check.name, check.holds, check.remedy) for check in CHECKS]
