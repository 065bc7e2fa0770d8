from __future__ import annotations

import site
from pathlib import Path

import pytest

from dfkdbench.sandbox import SandboxError, scratch_environment


def test_scratch_environment__makes_folders_in_the_scratch_folder(short_folder: Path) -> None:
    environment = scratch_environment(short_folder)
    environment.pop("PYTHONUSERBASE", None)
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


def test_scratch_environment__refuses_a_path_too_long_for_sockets(short_folder: Path) -> None:
    deep = short_folder / ("d" * 90)
    with pytest.raises(SandboxError, match="characters; data loader workers need at most 75"):
        scratch_environment(deep)
    assert scratch_environment(deep, short_folder / "t")["TMPDIR"] == str(short_folder / "t")
