from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from dfkdbench.sandbox import SandboxError, expand, worker_policy
from dfkdbench.sandbox.worker import interpreter_roots


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with a run in it, as the current folder's parent, and an empty `sys.path`."""
    home = tmp_path.resolve() / "home"
    (home / "run").mkdir(parents=True)
    (home / "photos").mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(sys, "path", [])
    for variable in ("LD_LIBRARY_PATH", "CUDA_HOME", "CUDA_PATH", "ROCM_HOME", "ROCM_PATH"):
        monkeypatch.delenv(variable, raising=False)
    return home


def opened(home: Path, **given: tuple[Path, ...]) -> set[str]:
    """What a policy reads beneath the home folder, as relative paths."""
    paths = {"run_reads": (), "run_writes": (home / "run",), "protected": (), **given}
    policy = expand(worker_policy(**paths))
    return {str(path.relative_to(home)) for path in policy.read if path.is_relative_to(home)}


def test_worker_policy__opens_interpreter_libraries_and_run(home: Path) -> None:
    policy = worker_policy([home / "photos"], [home / "run"], [])
    for root in (Path(sys.prefix), Path(sys.base_prefix), Path("/usr"), home / "photos"):
        assert root.resolve() in policy.read
    assert Path(sys.executable).resolve() in policy.read
    assert home / "run" in policy.write


def test_worker_policy__keeps_home_disks_and_other_processes_closed(home: Path) -> None:
    assert opened(home) == set()
    policy = worker_policy([], [home / "run"], [])
    granted = {*policy.read, *policy.write, *policy.devices, *policy.listed}
    closed = {*map(Path, ("/", "/dev", "/proc", "/sys", "/home", "/root", "/tmp", "/var", "/run", "/opt", "/mnt"))}
    assert not closed & granted
    assert not any(path.is_block_device() for path in policy.devices)
    assert not any(path.parts[:2] == ("/", "proc") and path.parts[2].isdigit() for path in granted)


def test_worker_policy__opens_a_path_entry_in_the_home_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = home / ".local/lib/site-packages"
    site.mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [str(site)])
    assert opened(home) == {".local/lib/site-packages"}


@pytest.mark.parametrize("entry", ["home", "current folder", "empty", "above the run"])
def test_worker_policy__opens_only_modules_of_a_wide_path_entry(
    home: Path, entry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = home if entry == "home" else home / "project"
    (place / "package").mkdir(parents=True)
    (place / "package" / "__init__.py").touch()
    (place / "module.py").touch()
    (place / "results.csv").touch()
    (place / "images").mkdir()
    monkeypatch.chdir(place if entry in ("current folder", "empty") else "/")
    monkeypatch.setattr(sys, "path", ["" if entry == "empty" else str(place)])
    run = place / "runs/a"
    run.mkdir(parents=True)
    writes = (run,) if entry == "above the run" else (home / "run",)
    names = {str(path.relative_to(home)) for path in (place / "package", place / "module.py")}
    assert opened(home, run_writes=writes) == names
    assert place in worker_policy([], writes, []).listed


def test_worker_policy__lists_no_wide_entry_without_modules(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(home), "/"])
    policy = worker_policy([], [home / "run"], [])
    assert policy.listed == ()
    assert opened(home) == set()


def test_worker_policy__opens_a_narrow_current_folder_by_import_root(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = home / "plugin"
    plugin.mkdir()
    (plugin / "kernel.cu").touch()
    monkeypatch.chdir(plugin)
    assert opened(home, import_roots=(plugin,)) == {"plugin"}


def test_worker_policy__narrows_an_import_root_that_is_the_home_folder(home: Path) -> None:
    (home / "plugin.py").touch()
    assert opened(home, import_roots=(home,)) == {"plugin.py"}


def test_worker_policy__splits_an_import_root_around_data(home: Path) -> None:
    package = home / "core"
    (package / "assets").mkdir(parents=True)
    (package / "assets" / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "table.csv").touch()
    names = {"core/__init__.py", "core/table.csv"}
    assert opened(home, import_roots=(package,), protected=(package / "assets",)) == names


def test_worker_policy__splits_a_path_entry_around_data(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = home / ".local/site-packages"
    (site / "core/assets").mkdir(parents=True)
    (site / "namespace").mkdir()
    monkeypatch.setattr(sys, "path", [str(site)])
    names = {".local/site-packages/namespace"}
    assert opened(home, protected=(site / "core",)) == names


def test_worker_policy__leaves_protected_modules_of_a_wide_path_entry(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("data.py", "code.py"):
        (home / name).touch()
    monkeypatch.setattr(sys, "path", [str(home)])
    assert opened(home, protected=(home / "data.py",)) == {"code.py"}


def test_worker_policy__splits_the_interpreter_around_data(home: Path) -> None:
    data = Path(os.__file__).resolve().parent / "email"
    policy = expand(worker_policy([], [home / "run"], [data]))
    assert data not in policy.read
    assert data.parent in policy.listed
    assert data.parent / "json" in policy.read


def test_worker_policy__drops_a_path_entry_inside_data(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(home / "photos")])
    assert opened(home, protected=(home / "photos",)) == set()


@pytest.mark.parametrize("kind", ["run_reads", "run_writes", "import_roots"])
def test_worker_policy__refuses_what_it_needs_inside_data(home: Path, kind: str) -> None:
    inner = home / "photos" / "inner"
    inner.mkdir()
    with pytest.raises(SandboxError, match=rf"needs {inner}, .* protected path {home}/photos\."):
        opened(home, protected=(home / "photos",), **{kind: (inner,)})


def test_worker_policy__refuses_data_above_the_interpreter(home: Path) -> None:
    root = interpreter_roots()[0]
    with pytest.raises(SandboxError, match=f"lies in the protected path {root.parent}"):
        expand(worker_policy([], [home / "run"], [root.parent]))


def test_worker_policy__refuses_a_missing_folder_to_write(home: Path) -> None:
    with pytest.raises(SandboxError, match=r"write to .*/gone, which is no folder\. Create it"):
        worker_policy([], [home / "gone"], [])


def test_worker_policy__leaves_out_shared_memory_with_data_in_it(home: Path) -> None:
    shared = Path("/dev/shm")
    if not shared.is_dir():
        pytest.skip("this machine has no /dev/shm")
    assert shared in worker_policy([], [home / "run"], []).write
    assert shared not in expand(worker_policy([], [home / "run"], [shared / "cifar"])).write


def test_worker_policy__opens_libraries_that_the_environment_names(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "cuda/lib").mkdir(parents=True)
    monkeypatch.setenv("LD_LIBRARY_PATH", f"{home}/cuda/lib:{home}:{home}/photos/lib::/")
    assert opened(home, protected=(home / "photos",)) == {"cuda/lib"}


def test_worker_policy__reaches_a_path_entry_through_a_link(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "real").mkdir()
    (home / "alias").symlink_to(home / "real")
    monkeypatch.setattr(sys, "path", [str(home / "alias")])
    assert opened(home) == {"real"}
