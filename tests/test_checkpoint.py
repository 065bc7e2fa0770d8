"""Checkpoints: a whole tree comes back as it was; anything else is refused, and no code is run."""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from dfkdbench.checkpoint import load_tree, save_tree
from dfkdbench.errors import IntegrityError


def there_and_back(tree: Any, folder: Path) -> Any:
    save_tree(tree, folder / "state.safetensors")
    return load_tree(folder / "state.safetensors")


def test_tree__round_trip(tmp_path: Path) -> None:
    tree: dict[str, Any] = {
        "counter": 3,
        "rate": 0.1,
        "flag": True,
        "nothing": None,
        "name": "phase ü",
        "tuple": (1, (2.0, "x")),
        "list": [[], {}, ()],
        "by number": {0: {"exp_avg": 1}, -7: "minus", 2**70: "large"},
        "by other keys": {True: 1, None: 2, 0.5: 3},
        "huge": 2**63,
        "infinite": math.inf,
    }
    found = there_and_back(tree, tmp_path)
    assert found == tree
    assert [type(value) for value in found.values()] == [type(value) for value in tree.values()]
    assert list(found["by number"]) == [0, -7, 2**70]
    assert type(found["tuple"][1]) is tuple
    assert type(next(iter(found["by other keys"]))) is bool


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(6, dtype=torch.uint8).view(2, 3),
        torch.randn(3, 4, generator=torch.Generator().manual_seed(0)).T,
        torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0)).to(memory_format=torch.channels_last),
        torch.tensor(3.5, dtype=torch.float64),
        torch.tensor([float("nan"), -0.0, math.inf]),
        torch.zeros(0, 5),
        torch.ones(3, dtype=torch.bfloat16),
        torch.tensor([True, False]),
        torch.tensor([2**62], dtype=torch.int64),
        torch.nn.Parameter(torch.ones(2)),
    ],
    ids=lambda tensor: f"{tensor.dtype}-{tuple(tensor.shape)}",
)
def test_tree__tensors_bit_for_bit(tensor: torch.Tensor, tmp_path: Path) -> None:
    found = there_and_back({"x": [tensor]}, tmp_path)["x"][0]
    assert (found.dtype, found.shape) == (tensor.dtype, tensor.shape)
    raw = tensor.detach().contiguous()
    assert torch.equal(found.reshape(-1).view(torch.uint8), raw.reshape(-1).view(torch.uint8))
    assert not found.requires_grad


def test_tree__a_tensor_that_appears_twice(tmp_path: Path) -> None:
    shared = torch.arange(8.0)
    found = there_and_back({"a": shared, "b": shared, "view": shared[2:5]}, tmp_path)
    assert torch.equal(found["a"], found["b"])
    assert torch.equal(found["view"], torch.tensor([2.0, 3.0, 4.0]))


def test_tree__state_of_an_optimizer_and_of_random_generators(tmp_path: Path) -> None:
    layer = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)
    layer(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    generator = torch.Generator().manual_seed(5)
    tree = {"optimizer": optimizer.state_dict(), "layer": dict(layer.state_dict()), "rng": generator.get_state()}
    found = there_and_back(tree, tmp_path)
    expected = torch.rand(4, generator=generator)
    restored = torch.Generator()
    restored.set_state(found["rng"])
    assert torch.equal(torch.rand(4, generator=restored), expected)
    other = torch.optim.Adam(layer.parameters(), lr=0.5)
    other.load_state_dict(found["optimizer"])
    assert other.param_groups[0]["lr"] == 0.1
    assert torch.equal(other.state[layer.weight]["exp_avg"], optimizer.state[layer.weight]["exp_avg"])


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (object(), r"state\.loop\[1\] is a object"),
        ({1, 2}, r"state\.loop\[1\] is a set"),
        (b"bytes", r"state\.loop\[1\] is a bytes"),
        (torch.nn.Linear(1, 1), r"state\.loop\[1\] is a Linear"),
        (torch.float32, r"state\.loop\[1\] is a dtype"),
        (1j, r"state\.loop\[1\] is a complex"),
        (len, r"state\.loop\[1\] is a builtin_function_or_method"),
    ],
)
def test_save_tree__forbidden_type_is_named_with_its_place(value: Any, said: str, tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    save_tree("old", path)
    with pytest.raises(TypeError, match=said):
        save_tree({"loop": [0, value]}, path)
    assert load_tree(path) == "old"


def test_save_tree__key_that_would_not_come_back(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"state\.loop has a key"):
        save_tree({"loop": {(1, 2): 3}}, tmp_path / "state.safetensors")


@pytest.mark.parametrize("kept", [0, 4, 8, 40, -1])
def test_load_tree__truncated(kept: int, tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    save_tree({"weights": torch.arange(100.0), "step": 3}, path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(IntegrityError, match="is no whole checkpoint"):
        load_tree(path)


def test_load_tree__pickle_is_not_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "sprung",)

    path = tmp_path / "state.safetensors"
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(IntegrityError, match="Expected a safetensors file with a state tree"):
        load_tree(path)
    torch.save({"x": torch.ones(2)}, path)
    with pytest.raises(IntegrityError, match="no whole checkpoint"):
        load_tree(path)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {"tree": "{"},
        {"tree": '{"tensor": "000009"}'},
        {"tree": '{"code": "import os"}'},
        {"tree": '{"dict": 3}'},
        {"tree": '{"dict": [], "list": []}'},
        {"tree": '{"dict": [[["unhashable"], 1]]}'},
        {"tree": "{}"},
    ],
)
def test_load_tree__foreign_or_tampered_tree(metadata: dict[str, str] | None, tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    path.write_bytes(save({"000000": torch.ones(2)}, metadata=metadata))
    with pytest.raises(IntegrityError, match="no whole checkpoint"):
        load_tree(path)


def test_load_tree__missing(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match=r"Delete it, or start over with --rerun"):
        load_tree(tmp_path / "none.safetensors")
