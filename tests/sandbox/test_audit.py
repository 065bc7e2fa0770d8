"""What the fallback covers, and, in so many words, what it does not."""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.sandbox.conftest import Arena

STOPPED = {
    "open": "def attempt(): return open(arena['secret']).read()",
    "os.open": "def attempt(): return os.open(arena['secret'], os.O_RDONLY)",
    "np.memmap": """
def attempt():
    import numpy
    return numpy.memmap(arena['secret'], mode='r')
""",
    "relative path": """
def attempt():
    os.chdir(arena['folder'])
    return open('data/secret.bin').read()
""",
    "link": """
def attempt(): return open(arena['scratch'] + '/link').read()
""",
    "list": "def attempt(): return os.listdir(arena['folder'] + '/data')",
    "write": "def attempt(): open(arena['folder'] + '/run/new', 'w').close()",
    "append": "def attempt(): open(arena['secret'], 'a').close()",
    "truncate": "def attempt(): os.truncate(arena['secret'], 0)",
    "remove": "def attempt(): os.remove(arena['secret'])",
    "mkdir": "def attempt(): os.mkdir(arena['folder'] + '/new')",
    "rename": "def attempt(): os.rename(arena['secret'], arena['scratch'] + '/moved')",
    "hard link": "def attempt(): os.link(arena['secret'], arena['scratch'] + '/hard')",
    "chmod": "def attempt(): os.chmod(arena['secret'], 0o600)",
    "cat": """
def attempt():
    import subprocess
    return subprocess.run(['cat', arena['secret']], capture_output=True, check=True).stdout
""",
    "shell": """
def attempt():
    import subprocess
    return subprocess.run('cat < ' + arena['secret'], shell=True, capture_output=True, check=True).stdout
""",
    "os.system": "def attempt(): return os.system('cat ' + arena['secret'])",
    "os.execv": "def attempt(): os.execv('/bin/cat', ['cat', arena['secret']])",
    "os.posix_spawn": "def attempt(): return os.posix_spawn('/bin/cat', ['cat', arena['secret']], {})",
    "parent": "def attempt(): return open(f\"/proc/{arena['parent']}/cmdline\").read()",
    "TCP": """
def attempt():
    import socket
    socket.create_connection(('127.0.0.1', arena['port']))
""",
    "UDP": """
def attempt():
    import socket
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', arena['port']))
""",
    "name look-up": """
def attempt():
    import socket
    return socket.getaddrinfo('localhost', 80)
""",
}


@pytest.mark.parametrize("way", STOPPED)
def test_audit__stops(arena: Arena, way: str) -> None:
    (arena.scratch / "link").symlink_to(arena.secret)
    with socket.create_server(("127.0.0.1", 0)) as server:
        outcome = arena.attempt(STOPPED[way], "audit", {"port": server.getsockname()[1]})
    assert outcome.in_force == "audit hook"
    assert outcome.reached is None, outcome
    assert outcome.denied == "EACCES"
    assert "closed by the run's audit hook" in outcome.text


BYPASSES = {
    "ctypes": """
def attempt():
    import ctypes
    libc = ctypes.CDLL(None)
    text = ctypes.create_string_buffer(64)
    libc.read(libc.open(os.fsencode(arena['secret']), 0), text, 64)
    return text.value
""",
    "program that builds the path": """
def attempt():
    import subprocess
    command = 'cd ' + arena['folder'] + '/dat? && cat secret.bin'
    return subprocess.run(command, shell=True, capture_output=True, check=True).stdout
""",
}


@pytest.mark.parametrize("way", BYPASSES)
def test_audit__does_not_stop(arena: Arena, way: str) -> None:
    """Keeps the docs honest: the hook stops accidents, not intent."""
    outcome = arena.attempt(BYPASSES[way], "audit")
    assert outcome.reached is not None, outcome
    assert arena.text in outcome.reached


def test_audit__lets_ordinary_work_through(arena: Arena) -> None:
    code = """
def attempt():
    import shutil, socket, subprocess, tempfile
    from multiprocessing import Pipe, get_context
    with tempfile.TemporaryDirectory() as folder:
        os.makedirs(folder + '/a/b')
        open(folder + '/a/b/file', 'w').write('x')
        os.rename(folder + '/a/b/file', folder + '/a/other')
    done = subprocess.run([sys.executable, '-c', 'print(7)'], capture_output=True, text=True, check=True)
    here, there = socket.socketpair()
    here.send(b'x')
    open('/dev/null', 'w').write('x')
    return [done.stdout.strip(), there.recv(1), len(open('/proc/self/status').read()) > 0, os.path.exists(folder)]
"""
    assert arena.attempt(code, "audit").reached == repr(["7", b"x", True, False])


def test_audit__honours_gaps_in_a_granted_folder(arena: Arena) -> None:
    package = arena.folder / "lib"
    (package / "assets").mkdir(parents=True)
    (package / "assets" / "digits.npz").touch()
    (package / "sibling.py").write_text("value = 5")
    arena.policy = replace(
        arena.policy, read=(*arena.policy.read, package), protected=(*arena.policy.protected, package / "assets")
    )
    load = (
        "def attempt():\n    sys.path.insert(0, arena['folder'] + '/lib')\n    import sibling\n    return sibling.value"
    )
    assert arena.attempt(load, "audit").reached == "5"
    read = "def attempt(): return open(arena['folder'] + '/lib/assets/digits.npz').read()"
    assert arena.attempt(read, "audit").denied == "EACCES"
