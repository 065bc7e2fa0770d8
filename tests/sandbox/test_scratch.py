from __future__ import annotations

import site
from pathlib import Path

import pytest

from dfkdbench.sandbox import SandboxError, scratch_environment


def test_scratch_environment__makes_folders_in_the_scratch_folder(short_folder: Path) -> None:
    environment = scratch_environment(short_folder)
    for name in ("PYTHONUSERBASE", "PYTHONNOUSERSITE"):
        environment.pop(name, None)
    assert {"TMPDIR", "HOME", "XDG_CACHE_HOME", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"} <= set(environment)
    assert len(set(environment.values())) == len(environment)
    for place in environment.values():
        assert Path(place).is_dir()
        assert Path(place).is_relative_to(short_folder)


def test_scratch_environment__keeps_packages_of_the_user(short_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site, "ENABLE_USER_SITE", True)
    assert scratch_environment(short_folder)["PYTHONUSERBASE"] == site.getuserbase()
    monkeypatch.setattr(site, "ENABLE_USER_SITE", False)
    assert "PYTHONUSERBASE" not in scratch_environment(short_folder)


def test_scratch_environment__no_start_looks_for_packages_in_its_home(
    short_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker may write there, and the next one is a fresh interpreter that is not sealed yet."""
    for enabled in (False, None):
        monkeypatch.setattr(site, "ENABLE_USER_SITE", enabled)
        assert scratch_environment(short_folder)["PYTHONNOUSERSITE"] == "1"


def test_scratch_environment__replaces_what_is_no_folder(short_folder: Path) -> None:
    scratch = short_folder / "s"
    scratch.mkdir()
    (scratch / "home").symlink_to(short_folder / "elsewhere")
    (scratch / "cache").touch()
    environment = scratch_environment(scratch)
    assert environment["HOME"] == str(scratch / "home")
    assert not (scratch / "home").is_symlink()
    assert (scratch / "cache").is_dir()
    assert not (short_folder / "elsewhere").exists()


def test_scratch_environment__refuses_a_path_too_long_for_sockets(short_folder: Path) -> None:
    deep = short_folder / ("d" * 90)
    with pytest.raises(SandboxError, match="characters; data loader workers need at most 75"):
        scratch_environment(deep)
    assert scratch_environment(deep, short_folder / "t")["TMPDIR"] == str(short_folder / "t")
