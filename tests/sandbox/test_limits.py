"""What a process sealed by Landlock can still do; docs/threat-model.md names these tests."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.sandbox.conftest import Arena

SHARED = Path("/dev/shm")

STILL_OPEN = {
    "UDP": """
def attempt():
    import socket
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', arena['port']))
""",
    "socket with a path": """
def attempt():
    import socket
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(arena['folder'] + '/socket')
""",
    "size and times": "def attempt(): return os.stat(arena['secret']).st_size",
    "mode": "def attempt(): os.chmod(arena['secret'], 0o600)",
    "hard link made beforehand": "def attempt(): return open(arena['scratch'] + '/hard').read()",
    "file in an installed package": """
def attempt():
    import dfkdbench
    return len(open(dfkdbench.__file__).read())
""",
    "shared memory of others": "def attempt(): return open(arena['shared']).read()",
    "address of a name": """
def attempt():
    import socket
    return socket.getaddrinfo('localhost', 80)
""",
    "standard input": "def attempt(): return os.fstat(0).st_mode",
}


@pytest.mark.parametrize("way", STILL_OPEN)
def test_seal__does_not_close(landlock_arena: Arena, way: str) -> None:
    """Keeps the threat model honest: when one of these fails, the page promises too little."""
    (landlock_arena.scratch / "hard").hardlink_to(landlock_arena.secret)
    if way == "shared memory of others" and not SHARED.is_dir():
        pytest.skip("this machine has no /dev/shm")
    with (
        tempfile.NamedTemporaryFile(dir=SHARED if SHARED.is_dir() else None) as shared,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server,
        socket.socket(socket.AF_UNIX) as local,
    ):
        server.bind(("127.0.0.1", 0))
        local.bind(str(landlock_arena.folder / "socket"))
        local.listen()
        outcome = landlock_arena.attempt(
            STILL_OPEN[way], "landlock", {"port": server.getsockname()[1], "shared": shared.name}
        )
    assert outcome.reached is not None, outcome
