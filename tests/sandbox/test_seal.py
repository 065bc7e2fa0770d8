from __future__ import annotations

import ast
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dfkdbench.sandbox import Policy, SandboxError, abi_version, seal
from dfkdbench.sandbox import landlock as landlock_module
from dfkdbench.sandbox.landlock import NEWEST_ABI

if TYPE_CHECKING:
    from tests.sandbox.conftest import Arena

ROOT = Path(__file__).parents[2]
NOTHING = "def attempt(): return 'sealed'"

TRAINING = """
import torch
class Squares:
    def __len__(self): return 12
    def __getitem__(self, index): return torch.full((3,), float(index) ** 2)
def attempt():
    torch.set_num_threads(2)
    layer = torch.nn.Conv2d(1, 4, 3)
    before = layer.weight.detach().clone()
    loss = layer(torch.randn(8, 1, 12, 12)).square().mean()
    loss.backward()
    torch.optim.SGD(layer.parameters(), lr=0.1).step()
    torch.save(layer.state_dict(), arena['scratch'] + '/layer.pt')
    again = torch.load(arena['scratch'] + '/layer.pt')
    loader = torch.utils.data.DataLoader(Squares(), batch_size=4, num_workers=2)
    return bool((again['weight'] != before).any()), float(sum(batch.sum() for batch in loader))
"""

COMPILED = """
def attempt():
    import torch
    def step(images): return torch.nn.functional.silu(images).square().mean()
    images = torch.linspace(-1, 1, 512).requires_grad_()
    torch.compile(step, fullgraph=True)(images).backward()
    plain = images.detach().clone().requires_grad_()
    step(plain).backward()
    return float((images.grad - plain.grad).abs().max()) < 1e-6
"""

TORCH_READERS = {
    "memory map": "torch.from_file(arena['secret'], size=4, dtype=torch.uint8).tolist()",
    "zip reader": "torch._C.PyTorchFileReader(arena['archive']).get_all_records()",
    "scripted module": "torch.jit.load(arena['archive'])",
}


def test_seal__says_what_is_in_force(landlock_arena: Arena) -> None:
    expected = f"landlock abi {min(abi_version(), NEWEST_ABI)}"
    assert landlock_arena.attempt(NOTHING, "landlock").in_force == expected
    assert landlock_arena.attempt(NOTHING, "auto").in_force == expected


def test_seal__says_so_when_nothing_is_in_force(arena: Arena) -> None:
    assert arena.attempt(NOTHING, "none").in_force == "none"
    assert arena.attempt(NOTHING, "audit").in_force == "audit hook"


def test_seal__falls_back_to_the_audit_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    installed: list[Policy] = []
    monkeypatch.setattr(landlock_module, "abi_version", lambda: 0)
    monkeypatch.setattr("dfkdbench.sandbox.audit.install", lambda policy, several: installed.append(policy))
    policy = Policy(read=(Path("/usr"),))
    assert seal(policy, "auto") == "audit hook"
    assert installed == [policy]


def test_seal__refuses_landlock_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landlock_module, "abi_version", lambda: 0)
    module = sys.modules[seal.__module__]
    monkeypatch.setattr(module, "_thread_count", lambda: 1)
    monkeypatch.setattr(module, "drop_capabilities", lambda: pytest.fail("dropped for nothing"))
    with pytest.raises(SandboxError, match="no Landlock"):
        seal(Policy(), "landlock")


def test_seal__refuses_an_unknown_kind() -> None:
    with pytest.raises(SandboxError, match=r"Unknown isolation 'landlok'\. There are: auto, landlock, audit, none"):
        seal(Policy(), "landlok")  # type: ignore[arg-type]


def test_seal__refuses_beside_other_threads() -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        with pytest.raises(SandboxError, match=r"\d+ threads are running.*before importing torch"):
            seal(Policy(), "landlock")
    finally:
        stop.set()
        thread.join()


def test_seal__imports_nothing_heavy() -> None:
    code = (
        "import sys, dfkdbench.sandbox\n"
        "print(sorted({'torch', 'numpy', 'pydantic', 'click', 'pluggy', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_seal__takes_milliseconds(landlock_arena: Arena) -> None:
    """Best of five child processes; a loaded machine may need several times the usual one or two."""
    code = """
def attempt():
    import time
    policy = Policy.from_json(open(sys.argv[1]).read())
    before = time.perf_counter()
    seal(policy, 'landlock')
    return time.perf_counter() - before
"""
    seconds = [float(str(landlock_arena.attempt(code, "none").reached)) for _ in range(5)]
    assert min(seconds) < 0.05


def test_seal__can_be_put_on_twice(landlock_arena: Arena) -> None:
    code = """
def attempt():
    seal(Policy(), 'landlock')
    return open(arena['scratch'] + '/policy.json').read()
"""
    assert landlock_arena.attempt(code, "landlock").denied == "EACCES"


@pytest.mark.parametrize("want", ["landlock", "audit"])
def test_seal__lets_torch_train(arena: Arena, want: str, needs_abi: Callable[[int], None]) -> None:
    """A training step, files in the scratch folder, and a data loader with two worker processes."""
    needs_abi(1 if want == "landlock" else 0)
    assert arena.attempt(TRAINING, want).reached == str((True, float(3 * sum(index**2 for index in range(12)))))


@pytest.mark.slow
@pytest.mark.parametrize("want", ["landlock", "audit"])
def test_seal__lets_torch_compile(arena: Arena, want: str, needs_abi: Callable[[int], None]) -> None:
    needs_abi(1 if want == "landlock" else 0)
    outcome = arena.attempt(COMPILED, want, timeout=300)
    assert outcome.reached == "True", outcome
    assert any((arena.scratch / "inductor").rglob("*.so"))


def test_seal__closes_readers_in_torch(landlock_arena: Arena) -> None:
    """One process tries all of them, for torch takes seconds to import; the unsealed one makes the archive first."""
    tries = "".join(
        f"    try:\n        {call}\n        reached.append({name!r})\n"
        f"    except (RuntimeError, OSError) as error:\n        texts.append(str(error))\n"
        for name, call in TORCH_READERS.items()
    )
    code = f"import torch\ndef attempt():\n    reached, texts = [], []\n{tries}    return reached, texts\n"
    save = "import torch\ntorch.jit.script(torch.nn.Linear(2, 2)).save(arena['archive'])\n"
    archive = str(landlock_arena.secret.with_name("secret.pt"))
    reached, _ = ast.literal_eval(str(landlock_arena.attempt(save + code, "none", {"archive": archive}).reached))
    assert set(reached) == set(TORCH_READERS)
    reached, texts = ast.literal_eval(str(landlock_arena.attempt(code, "landlock", {"archive": archive}).reached))
    assert reached == []
    assert len(texts) == len(TORCH_READERS)


def test_seal__leaves_a_gap_in_a_package(landlock_arena: Arena) -> None:
    package = landlock_arena.folder / "lib" / "referee"
    (package / "assets").mkdir(parents=True)
    (package / "assets" / "digits.npz").write_text("x")
    (package / "__init__.py").touch()
    (package / "sibling.py").write_text("value = 5")
    landlock_arena.policy = replace(
        landlock_arena.policy,
        read=(*landlock_arena.policy.read, package.parent),
        protected=(*landlock_arena.policy.protected, package / "assets"),
    )
    load = (
        "def attempt():\n    sys.path.insert(0, arena['folder'] + '/lib')\n"
        "    from referee import sibling\n    return sibling.value"
    )
    assert landlock_arena.attempt(load, "landlock").reached == "5"
    read = "def attempt(): return open(arena['folder'] + '/lib/referee/assets/digits.npz').read()"
    assert landlock_arena.attempt(read, "landlock").denied == "EACCES"
    assert landlock_arena.attempt(read, "none").reached == "'x'"
    names = "def attempt(): return os.listdir(arena['folder'] + '/lib/referee/assets')"
    assert landlock_arena.attempt(names, "landlock").reached == "['digits.npz']"


def test_seal__leaves_open_descriptors_open(landlock_arena: Arena) -> None:
    """So the judge passes none: the seal does not reach back."""
    program = (
        "import sys; descriptor = open(sys.argv[1]); from dfkdbench.sandbox import Policy, seal;"
        "seal(Policy(), 'landlock'); print(descriptor.read())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(landlock_arena.secret)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == landlock_arena.text, done.stderr
