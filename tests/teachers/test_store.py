"""Finding teachers: folders, names, hashes, damaged ones."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dfkdbench.errors import ConfigError, IntegrityError, UnknownNameError
from dfkdbench.teachers.card import CARD_FILE, WEIGHTS_FILE, RecipeKind, TeacherCard, hash_file
from dfkdbench.teachers.store import TeacherStore, shipped_folder, user_folder


def put(
    home: Path, name: str, kind: RecipeKind = "standard", seed: int | None = 0, weights: bytes = b"w", sha256: str = ""
) -> None:
    folder = home / name
    folder.mkdir(parents=True)
    (folder / WEIGHTS_FILE).write_bytes(weights)
    card = TeacherCard.model_validate(
        {
            "name": name,
            "dataset": "squares",
            "dataset_version": "1",
            "arch": "lenet_s",
            "arch_version": "1",
            "classes": 10,
            "channels": 1,
            "image_size": 16,
            "mean": (0.5,),
            "std": (0.25,),
            "seed": seed,
            "kind": kind,
            "recipe": None,
            "accuracy": 98.6,
            "test_fingerprint": "f",
            "sha256": sha256 or hash_file(folder / WEIGHTS_FILE),
            "protocol": "2026.1",
            "torch": "2.6.0",
            "created": "2026-01-01T00:00:00+00:00",
        }
    )
    (folder / CARD_FILE).write_text(card.model_dump_json(by_alias=True))


@pytest.fixture
def store(tmp_path: Path) -> TeacherStore:
    return TeacherStore((tmp_path / "shipped", tmp_path / "mine"))


def test_scan__both_folders_sorted_the_first_wins_the_damaged_are_told(store: TeacherStore) -> None:
    shipped, mine = store.folders
    put(mine, "b")
    put(mine, "a", weights=b"mine")
    put(shipped, "a", weights=b"shipped")
    (mine / ".writing-x").mkdir()
    put(mine, "broken")
    (mine / "broken" / CARD_FILE).write_text("{}")
    (mine / "note.txt").write_text("no teacher")
    bundles, complaints = store.scan()
    assert [bundle.name for bundle in bundles] == ["a", "b"]
    assert bundles[0].folder == shipped / "a"
    assert len(complaints) == 1
    assert str(mine / "broken") in complaints[0]
    assert store.home == mine


def test_find__by_cell_and_kind(store: TeacherStore) -> None:
    assert store.find("squares", "lenet_s", 0) is None
    put(store.home, "quick", kind="smoke")
    found = store.find("squares", "lenet_s", 0)
    assert found is not None
    assert found.name == "quick"
    put(store.home, "full", kind="standard")
    put(store.home, "foreign", kind="imported", seed=None)
    names = {
        kind: bundle.name if (bundle := store.find("squares", "lenet_s", 0, kind)) else None
        for kind in (None, "standard", "smoke", "imported")
    }
    assert names == {None: "full", "standard": "full", "smoke": "quick", "imported": None}
    imported = store.find("squares", "lenet_s", None)
    assert imported is not None
    assert imported.name == "foreign"
    assert store.find("squares", "lenet_s", 1) is None
    assert store.find("squares", "lenet_xs", 0) is None
    assert store.find("circles", "lenet_s", 0) is None


def test_get__by_name_and_hash(store: TeacherStore) -> None:
    put(store.home, "one", weights=b"1")
    put(store.home, "two", weights=b"2")
    two = store.get("two")
    assert store.get(two.sha256[:6]) == two
    assert store.get(two.sha256) == two
    with pytest.raises(UnknownNameError):
        store.get(two.sha256[:5])
    with pytest.raises(UnknownNameError):
        store.get("")


def test_get__names_the_nearest_and_the_command(store: TeacherStore) -> None:
    put(store.home, "digits-lenet_s-s0")
    with pytest.raises(UnknownNameError, match="Unknown teacher 'digits-lenet-s0'") as caught:
        store.get("digits-lenet-s0")
    assert "Did you mean 'digits-lenet_s-s0'?" in caught.value.message
    assert "List them with: dfkdbench teacher list" in caught.value.message


def test_get__ambiguous_hash_and_damaged_card(store: TeacherStore) -> None:
    put(store.home, "one", sha256="ab" * 4 + "0" * 56)
    put(store.home, "two", sha256="ab" * 4 + "1" * 56)
    with pytest.raises(ConfigError, match=r"Several teachers .* 'abababab': one \(.*, two \("):
        store.get("abababab")
    (store.home / "two" / CARD_FILE).unlink()
    with pytest.raises(IntegrityError, match=r"has no readable teacher\.json"):
        store.get("two")


def test_get__two_copies_of_one_teacher_are_one(store: TeacherStore) -> None:
    put(store.home, "one")
    put(store.home, "two")
    assert store.get(store.get("two").sha256).name == "one"
    shutil.rmtree(store.home / "one")
    assert store.get(store.get("two").sha256).name == "two"


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"DFKDBENCH_HOME": "/a", "XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/a/teachers"),
        ({"XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/b/dfkdbench/teachers"),
        ({"HOME": "/c"}, "/c/.cache/dfkdbench/teachers"),
    ],
)
def test_user_folder__follows_the_environment(
    variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DFKDBENCH_HOME", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert user_folder() == Path(expected)
    assert list(TeacherStore.default().folders) == [shipped_folder(), Path(expected)]


def test_listing__imports_no_torch() -> None:
    code = (
        "import sys; from dfkdbench.teachers.store import TeacherStore; "
        "assert TeacherStore.default().all(); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
