"""Hostile plugins that read: data, records, accuracies."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dfkdbench.sandbox import abi_version

if TYPE_CHECKING:
    from tests.hostile.conftest import Hostile, Say

TEXT = "test accuracy 97.25"
WAYS = (
    "by_path",
    "by_descriptor",
    "by_mmap",
    "by_numpy_memmap",
    "by_torch_reader",
    "by_ctypes",
    "by_subprocess",
    "by_shell",
    "through_the_judges_root",
    "through_the_judges_memory",
    "by_symbolic_link",
    "by_hard_link",
    "over_tcp",
    "of_the_suite",
    "of_scikit_learn",
    "in_the_cache_of_torchvision",
)


@pytest.fixture
def served() -> Iterator[int]:
    """The port of a server that tells the secret to everyone."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                with client:
                    client.sendall(TEXT.encode())

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]


@pytest.mark.parametrize("isolation", ["landlock", "none"])
def test_reads_data__each_way_is_closed_and_works_without_the_seal(
    isolation: str, hostile: Hostile, served: int, say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if abi_version() < 4:
        pytest.skip("TCP is closed from Landlock's interface 4 on")
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    sklearn = hostile.package.parent / "sklearn"
    places = {
        "secret": tmp_path / "data" / "secret.bin",
        "cache": home / ".cache" / "torchvision" / "images.bin",
        "sklearn": sklearn / "datasets" / "data" / "digits.csv",
    }
    for place in places.values():
        place.parent.mkdir(parents=True)
        place.write_text(TEXT, encoding="utf-8")
    (sklearn / "__init__.py").touch()
    facts = {name: str(place) for name, place in places.items()} | {"text": TEXT, "port": served}
    ways = [f"reads_data.{way}" for way in WAYS]
    data_root = str(places["secret"].parent)
    ended = hostile.run("--isolation", isolation, "--data-root", data_root, attempts=ways, **facts)
    assert ended.record is not None
    assert ended.record["status"] == "finished", ended.record
    for way in ways:
        if isolation == "none":
            assert TEXT in ended.reached(way), way
        else:
            assert ended.denied(way)
            say(way, "stopped")


OF_RECORDS = (
    "own_evaluations",
    "own_metrics",
    "own_result",
    "result_of_another_run",
    "snapshots_of_another_run",
    "folder_of_runs",
)


def test_reads_records__no_accuracy_of_this_run_or_another_comes_through(
    hostile: Hostile, say: Say, another: Path
) -> None:
    closed = [f"reads_records.{way}" for way in OF_RECORDS]
    left, size = "reads_records.a_file_left_for_an_accuracy", "reads_records.size_of_own_evaluations"
    ended = hostile.run(at_last=[*closed, left, size], other=str(another))
    assert ended.record is not None
    assert ended.record["status"] == "finished", ended.record
    for way in closed:
        assert ended.denied(way)
        say(way, "stopped")
    assert ended.reached(left) == "''"
    say(left, "stopped")
    lines = (ended.folder / "evaluations.jsonl").read_text().splitlines()
    assert ended.reached(size) == str(len(lines[0]) + 1)
    assert {len(line) + 1 for line in lines} == {1024}
    assert [json.loads(line)["accuracy"] for line in lines] == [
        evaluation["accuracy"] for evaluation in ended.record["evaluations"]
    ]
    say(size, "stopped")
