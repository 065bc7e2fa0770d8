"""Files are whole or not there at all."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dfkdbench.errors import IntegrityError, RunError
from dfkdbench.files import (
    canonical_json,
    empty_folder,
    exclusive_lock,
    read_json,
    read_no_follow,
    sha256_of,
    touch_no_follow,
    write_atomically,
    write_json,
)


def child(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run([sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True)


def test_write_atomically__replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "result.json"
    write_atomically(target, "old")
    write_atomically(target, b"new")
    assert target.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["result.json"]  # noqa: PTH208 - hidden files too
    assert target.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("call", ["fsync", "fdopen", "open"])
def test_write_atomically__full_disk_keeps_the_old_file(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "result.json"
    write_atomically(target, "old")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(RunError) as caught:
        write_atomically(target, "new")
    monkeypatch.undo()
    assert caught.value.message == (
        f"Can't write {target}: no space is left on the disk. Nothing finished is lost; run the same command again."
    )
    assert caught.value.exit_code == 1
    assert target.read_text(encoding="utf-8") == "old"
    assert os.listdir(tmp_path) == ["result.json"]  # noqa: PTH208


FILL = """
import os, subprocess, sys
from pathlib import Path
folder = Path(sys.argv[1])
if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", folder], capture_output=True).returncode:
    sys.exit(77)
from dfkdbench.errors import RunError
from dfkdbench.files import write_atomically
write_atomically(folder / "result.json", "old")
try:
    write_atomically(folder / "result.json", b"x" * 200_000)
except RunError as error:
    print(error.message)
print(sorted(os.listdir(folder)), (folder / "result.json").read_text())
"""


def test_write_atomically__disk_that_is_really_full(tmp_path: Path) -> None:
    """A file system of 64 KiB, mounted in a name space of its own."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = ["unshare", "--mount", "--map-root-user", sys.executable, "-c", FILL, str(tmp_path)]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no unshare command")
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("file systems can't be mounted here")
    assert done.returncode == 0, done.stderr
    said, left = done.stdout.splitlines()
    assert "no space is left on the disk" in said
    assert left == "['result.json'] old"


def test_write_atomically__folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="Can't write"):
        write_atomically(tmp_path / "none" / "result.json", "x")


def test_write_atomically__replaces_a_link_itself(tmp_path: Path) -> None:
    elsewhere, link = tmp_path / "elsewhere", tmp_path / "link"
    elsewhere.write_text("precious", encoding="utf-8")
    link.symlink_to(elsewhere)
    write_atomically(link, "new")
    assert elsewhere.read_text(encoding="utf-8") == "precious"
    assert not link.is_symlink()


def test_write_atomically__killed_while_writing(tmp_path: Path) -> None:
    target = tmp_path / "result.json"
    write_atomically(target, "old")
    code = (
        "import os, signal, sys; from pathlib import Path; from dfkdbench import files\n"
        "os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)\n"
        "files.write_atomically(Path(sys.argv[1]), 'new')"
    )
    assert child(code, str(target)).returncode == -9
    assert target.read_text(encoding="utf-8") == "old"


def test_write_json__refuses_what_is_no_number(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "x.json", {"loss": float("nan")})
    assert not (tmp_path / "x.json").exists()


def test_read_json__round_trip_and_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"b": [1, None], "a": "ü"})
    assert read_json(path) == {"a": "ü", "b": [1, None]}
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(IntegrityError, match=r"x\.json is no whole JSON file"):
        read_json(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(IntegrityError, match="no whole JSON file"):
        read_json(path)


def test_read_no_follow__link(tmp_path: Path) -> None:
    secret, link = tmp_path / "secret", tmp_path / "link"
    secret.write_text("x", encoding="utf-8")
    link.symlink_to(secret)
    with pytest.raises(IntegrityError, match=r"Can't read .*link"):
        read_no_follow(link)
    assert read_no_follow(secret) == b"x"


def test_read_no_follow__pipe_folder_missing_and_too_large(tmp_path: Path) -> None:
    pipe, large = tmp_path / "pipe", tmp_path / "large"
    os.mkfifo(pipe)
    large.write_bytes(b"x" * 11)
    with pytest.raises(IntegrityError, match="no regular file"):
        read_no_follow(pipe)
    with pytest.raises(IntegrityError):
        read_no_follow(tmp_path)
    with pytest.raises(IntegrityError, match="No such file"):
        read_no_follow(tmp_path / "none")
    with pytest.raises(IntegrityError, match="has 11 bytes, at most 10 were expected"):
        read_no_follow(large, limit=10)
    assert read_no_follow(large, limit=11) == b"x" * 11
    assert read_no_follow(large, start=8) == b"xxx"


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="a file that does not tell its size")
def test_read_no_follow__reads_no_more_than_expected_of_a_file_that_grows() -> None:
    assert Path("/proc/cpuinfo").stat().st_size == 0
    with pytest.raises(IntegrityError, match="has more than the 10 bytes that were expected"):
        read_no_follow(Path("/proc/cpuinfo"), limit=10)


def test_touch_no_follow__makes_a_file_and_keeps_one_and_follows_no_link(tmp_path: Path) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    touch_no_follow(file)
    file.write_text("x", encoding="utf-8")
    touch_no_follow(file)
    assert file.read_text(encoding="utf-8") == "x"
    link.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(IntegrityError, match=r"Can't open .*link.*--rerun"):
        touch_no_follow(link)
    assert not (tmp_path / "elsewhere").exists()


def test_empty_folder__removes_everything_in_it_and_nothing_that_links_lead_to(tmp_path: Path) -> None:
    folder, precious = tmp_path / "folder", tmp_path / "precious"
    (folder / "deep" / "er").mkdir(parents=True)
    precious.mkdir()
    (precious / "file").touch()
    (folder / "deep" / "link").symlink_to(precious)
    (folder / "link").symlink_to(precious)
    (folder / "file").touch()
    os.mkfifo(folder / "pipe")
    empty_folder(folder)
    assert not list(folder.iterdir())
    assert (precious / "file").exists()


def test_exclusive_lock__held_by_another_process(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = (
        "import sys; from pathlib import Path; from dfkdbench.errors import RunError\n"
        "from dfkdbench.files import exclusive_lock\n"
        "try:\n"
        "    with exclusive_lock(Path(sys.argv[1]), 'busy here'): print('got it')\n"
        "except RunError as error: print(error.message)"
    )
    with exclusive_lock(path, "busy"):
        assert child(code, str(path)).stdout == "busy here\n"
    assert child(code, str(path)).stdout == "got it\n"


def test_exclusive_lock__goes_away_with_a_killed_process(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = (
        "import os, signal, sys; from pathlib import Path; from dfkdbench.files import exclusive_lock\n"
        "with exclusive_lock(Path(sys.argv[1]), ''): os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert child(code, str(path)).returncode == -9
    with exclusive_lock(path, "still held"):
        pass


def test_canonical_json__order_does_not_matter() -> None:
    assert canonical_json({"b": 1, "a": [1, 2]}) == canonical_json(json.loads('{"a": [1, 2], "b": 1}'))
    assert canonical_json([1, 2]) != canonical_json([2, 1])


def test_sha256_of__known_value() -> None:
    assert sha256_of(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
