"""What stays open for a run of several processes, and no more."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from dfkdbench.sandbox import HIGH_PORTS, abi_version
from dfkdbench.sandbox.landlock import ephemeral_ports

if TYPE_CHECKING:
    from tests.sandbox.conftest import Arena

TALK = """
import socket
def attempt():
    with socket.create_server(('127.0.0.1', 0)) as server:
        with socket.create_connection(server.getsockname(), timeout=5):
            return 'talked'
"""
CONNECT = """
import socket
def attempt(): socket.create_connection((arena['host'], arena['port']), timeout=5).close()
"""
LISTEN = """
import socket
def attempt(): socket.create_server(('127.0.0.1', arena['port'])).close()
"""
SECRET = "def attempt(): return open(arena['secret']).read()"


@pytest.fixture
def low_port() -> int:
    """A free port below those that the kernel gives away."""
    return next(port for port in range(20_000, ephemeral_ports().start) if _is_free(port))


@pytest.fixture
def several(arena: Arena) -> Arena:
    arena.several = True
    return arena


@pytest.mark.parametrize("want", ["landlock", "audit"])
def test_several__processes_talk_on_this_machine(several: Arena, want: str) -> None:
    if want == "landlock" and abi_version() == 0:
        pytest.skip("this kernel has no Landlock, or has it switched off")
    outcome = several.attempt(TALK, want)
    assert outcome.reached == "'talked'", outcome
    assert outcome.in_force.endswith(HIGH_PORTS)
    assert several.attempt(SECRET, want).reached is None


@pytest.mark.parametrize("code", [CONNECT, LISTEN], ids=["connect", "listen"])
def test_several__leaves_other_ports_closed(several: Arena, low_port: int, code: str) -> None:
    if abi_version() < 4:
        pytest.skip("no interface below 4 closes TCP")
    with socket.create_server(("127.0.0.1", low_port)) if code == CONNECT else socket.socket():
        outcome = several.attempt(code, "landlock", {"port": low_port, "host": "127.0.0.1"})
    assert outcome.denied == "EACCES", outcome


def test_several__opens_no_other_machine_to_the_audit_hook(several: Arena) -> None:
    outcome = several.attempt(CONNECT, "audit", {"port": ephemeral_ports().start, "host": "192.0.2.1"})
    assert outcome.denied == "EACCES", outcome


def test_seal__says_nothing_of_ports_where_there_is_one_process(arena: Arena) -> None:
    assert HIGH_PORTS not in arena.attempt("def attempt(): return 1", "auto").in_force


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
