from __future__ import annotations

import os
from pathlib import Path

import pytest

from dfkdbench.sandbox import Policy, SandboxError, expand, union


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """site/{core/{assets/digits.npz, code.py}, other.py, link -> outside}, outside/secret"""
    site = tmp_path.resolve() / "site"
    (site / "core" / "assets").mkdir(parents=True)
    (site / "core" / "assets" / "digits.npz").touch()
    (site / "core" / "code.py").touch()
    (site / "other.py").touch()
    (tmp_path / "outside").mkdir()
    (site / "link").symlink_to(tmp_path / "outside")
    return site


def test_expand__splits_a_root_around_a_protected_path(tree: Path) -> None:
    policy = expand(Policy(read=(tree,), protected=(tree / "core" / "assets",)))
    assert policy == Policy(read=(tree / "core" / "code.py", tree / "other.py"), listed=(tree, tree / "core"))


def test_expand__splits_around_several_protected_paths(tree: Path) -> None:
    policy = expand(Policy(read=(tree,), protected=(tree / "other.py", tree / "core" / "assets" / "digits.npz")))
    assert policy.read == (tree / "core" / "code.py",)
    assert policy.listed == (tree, tree / "core", tree / "core" / "assets")


def test_expand__keeps_roots_without_protected_paths_whole(tree: Path) -> None:
    policy = expand(Policy(read=(tree,), protected=(tree.parent / "outside",)))
    assert policy == Policy(read=(tree,))


def test_expand__keeps_every_root_of_several_apart(tree: Path) -> None:
    policy = expand(Policy(read=(tree, tree / "core"), protected=(tree / "core" / "assets",)))
    assert set(policy.read) == {tree / "core" / "code.py", tree / "other.py"}


def test_expand__resolves_a_root_that_is_a_link(tree: Path) -> None:
    alias = tree.parent / "alias"
    alias.symlink_to(tree)
    policy = expand(Policy(read=(alias,), protected=(tree / "core",)))
    assert policy == Policy(read=(tree / "other.py",), listed=(tree,))


def test_expand__resolves_a_protected_path_that_is_a_link(tree: Path) -> None:
    alias = tree.parent / "alias"
    alias.symlink_to(tree / "core")
    assert tree / "core" not in expand(Policy(read=(tree,), protected=(alias,))).read
    assert expand(Policy(read=(tree,), protected=(alias / "assets",))).listed == (tree, tree / "core")


def test_expand__follows_no_links_in_a_split_folder(tree: Path) -> None:
    (tree / "up").symlink_to("/")
    read = expand(Policy(read=(tree,), protected=(tree / "core",))).read
    assert read == (tree / "other.py",)


def test_expand__leaves_out_what_vanishes(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.scandir

    def scandir(path: Path) -> object:
        if Path(path) == tree / "core":
            raise FileNotFoundError
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert expand(Policy(read=(tree,), protected=(tree / "core" / "assets",))).read == (tree / "other.py",)


def test_expand__takes_protected_paths_that_do_not_exist_yet(tree: Path) -> None:
    assert tree / "other.py" in expand(Policy(read=(tree,), protected=(tree / "core" / "later",))).read


def test_expand__takes_similar_names_apart(tree: Path) -> None:
    (tree / "core2").mkdir()
    assert tree / "core2" in expand(Policy(read=(tree,), protected=(tree / "core",))).read


@pytest.mark.parametrize("inside", ["", "core", "core/code.py"])
@pytest.mark.parametrize("kind", ["read", "write", "listed"])
def test_expand__refuses_a_grant_in_a_protected_path(tree: Path, inside: str, kind: str) -> None:
    policy = Policy(**{kind: (tree / inside,), "protected": (tree,)})
    with pytest.raises(SandboxError) as raised:
        expand(policy)
    assert f"needs {tree / inside}," in str(raised.value)
    assert f"protected path {tree}." in str(raised.value)


def test_expand__refuses_a_writable_folder_above_a_protected_path(tree: Path) -> None:
    with pytest.raises(SandboxError, match=rf"writes to {tree}, which contains the protected path {tree}/core"):
        expand(Policy(write=(tree,), protected=(tree / "core",)))


def test_expand__changes_nothing_the_second_time(tree: Path) -> None:
    once = expand(Policy(read=(tree,), protected=(tree / "core" / "assets",), write=(tree.parent / "outside",)))
    assert expand(once) == once


def test_policy__survives_the_hand_over() -> None:
    policy = Policy(read=(Path("/a"),), write=(Path("/b"), Path("/c")), listed=(Path("/d"),), devices=(Path("/e"),))
    assert Policy.from_json(policy.to_json()) == policy


def test_policy__does_not_hand_over_protected_paths() -> None:
    with pytest.raises(SandboxError, match=r"stays with the judge\. Hand over expand\(policy\)"):
        Policy(protected=(Path("/data"),)).to_json()


@pytest.mark.parametrize("text", ["", "[]", '{"raed": []}', '{"read": [1]}', '{"read": 1}'])
def test_policy__refuses_other_text(text: str) -> None:
    with pytest.raises(SandboxError, match="Not a policy: expected an object with devices, listed, protected, read"):
        Policy.from_json(text)


def test_union__opens_what_each_opens_and_keeps_the_gaps_of_all(tree: Path) -> None:
    runs = {name: tree / name for name in ("a", "b", "c")}
    for run in runs.values():
        (run / "scratch").mkdir(parents=True, exist_ok=True)
        (run / "result.json").touch()
    apart = [
        expand(
            Policy(
                (tree, runs[name] / "scratch"),
                (runs[name] / "scratch",),
                protected=(*others, runs[name] / "result.json"),
            )
        )
        for name in ("a", "b")
        for others in [[run for other, run in runs.items() if other != name]]
    ]
    both = union(apart)
    assert {*both.read} == {*apart[0].read, *apart[1].read}
    assert both.write == (runs["a"] / "scratch", runs["b"] / "scratch")
    closed = [runs["c"], *(run / "result.json" for run in runs.values())]
    assert not [path for path in (*both.read, *both.write) if any(place.is_relative_to(path) for place in closed)]


def test_union__takes_no_policy_that_names_protected_paths(tree: Path) -> None:
    with pytest.raises(SandboxError, match="no union"):
        union([Policy((tree,)), Policy((tree,), protected=(tree / "a",))])
