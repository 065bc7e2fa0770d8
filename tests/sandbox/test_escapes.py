"""Attempts to get out of a process sealed by Landlock; each must succeed without the seal, or it shows nothing."""

from __future__ import annotations

import ctypes
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.sandbox.conftest import Arena

C_CALL = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
def checked(answer):
    if answer < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return answer
"""

READS = {
    "open": "def attempt(): return open(arena['secret']).read()",
    "os.open": "def attempt(): return os.read(os.open(arena['secret'], os.O_RDONLY), 64)",
    "mmap": """
def attempt():
    import mmap
    with open(arena['secret'], 'rb') as file:
        return mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)[:]
""",
    "np.memmap": """
def attempt():
    import numpy
    return bytes(numpy.memmap(arena['secret'], mode='r'))
""",
    "ctypes open": C_CALL
    + """
def attempt():
    text = ctypes.create_string_buffer(64)
    libc.read(checked(libc.open(os.fsencode(arena['secret']), 0)), text, 64)
    return text.value
""",
    "openat2 by number": C_CALL
    + """
def attempt():
    how = (ctypes.c_uint64 * 3)()
    text = ctypes.create_string_buffer(64)
    libc.read(checked(libc.syscall(437, -100, os.fsencode(arena['secret']), how, 24)), text, 64)
    return text.value
""",
    "cat": """
def attempt():
    import subprocess
    done = subprocess.run(['cat', arena['secret']], capture_output=True, text=True)
    if done.returncode:
        raise PermissionError(13, done.stderr)
    return done.stdout
""",
    "shell": """
def attempt():
    import subprocess
    done = subprocess.run(f"cat < {arena['secret']}", shell=True, capture_output=True, text=True)
    if done.returncode:
        raise PermissionError(13, done.stderr)
    return done.stdout
""",
    "fork": """
def attempt():
    reading, writing = os.pipe()
    if os.fork() == 0:
        try:
            os.write(writing, open(arena['secret'], 'rb').read())
        except OSError as error:
            os.write(writing, str(error.errno).encode())
        os._exit(0)
    text = os.read(reading, 64)
    if text.isdigit():
        raise PermissionError(int(text), 'in the child')
    return text
""",
    "thread": """
def attempt():
    from concurrent.futures import ThreadPoolExecutor
    with ThreadPoolExecutor() as pool:
        return pool.submit(lambda: open(arena['secret']).read()).result()
""",
    "own root folder": "def attempt(): return open('/proc/self/root' + arena['secret']).read()",
    "parent's root folder": """
def attempt(): return open(f"/proc/{arena['parent']}/root{arena['secret']}").read()
""",
    "link made beforehand": "def attempt(): return open(arena['scratch'] + '/link').read()",
    "link made inside": """
def attempt():
    os.symlink(arena['secret'], arena['scratch'] + '/inner')
    return open(arena['scratch'] + '/inner').read()
""",
    "hard link made inside": """
def attempt():
    os.link(arena['secret'], arena['scratch'] + '/hard')
    return open(arena['scratch'] + '/hard').read()
""",
    "move": """
def attempt():
    os.rename(arena['secret'], arena['scratch'] + '/moved')
    return open(arena['scratch'] + '/moved').read()
""",
    "move of its folder": """
def attempt():
    os.rename(os.path.dirname(arena['secret']), arena['scratch'] + '/data')
    return open(arena['scratch'] + '/data/secret.bin').read()
""",
    "handle": C_CALL
    + """
def attempt():
    handle = (ctypes.c_uint8 * 136).from_buffer_copy((128).to_bytes(4, 'little') + bytes(132))
    mount = ctypes.c_int()
    checked(libc.name_to_handle_at(-100, os.fsencode(arena['secret']), handle, ctypes.byref(mount), 0))
    folder = os.open(arena['scratch'], os.O_RDONLY)
    return os.read(checked(libc.open_by_handle_at(folder, handle, 0)), 64)
""",
    "list": "def attempt(): return os.listdir(os.path.dirname(arena['secret'])) and arena['text']",
    "execute": """
def attempt():
    import subprocess
    return subprocess.run([arena['secret'] + '.sh'], capture_output=True, text=True, check=True).stdout
""",
}
NEEDS_ROOT = {"handle"}


@pytest.mark.parametrize("want", ["landlock", "none"])
@pytest.mark.parametrize("way", READS)
def test_seal__closes_reading(landlock_arena: Arena, way: str, want: str) -> None:
    if want == "none" and way in NEEDS_ROOT and os.geteuid() != 0:
        pytest.skip("without the seal this works for root only")
    (landlock_arena.scratch / "link").symlink_to(landlock_arena.secret)
    script = Path(f"{landlock_arena.secret}.sh")
    script.write_text(f"#!/bin/sh\necho '{landlock_arena.text}'\n")
    script.chmod(0o755)
    outcome = landlock_arena.attempt(READS[way], want)
    if want == "none":
        assert outcome.reached is not None, outcome
        assert landlock_arena.text in outcome.reached
    else:
        assert outcome.reached is None, outcome
        assert outcome.denied in {"EACCES", "EPERM", "EXDEV"}


OTHERS = {
    "write outside": "def attempt(): open(arena['folder'] + '/run/new', 'w').write('x')",
    "append outside": "def attempt(): open(arena['secret'], 'a').write('x')",
    "truncate outside": "def attempt(): os.truncate(arena['secret'], 0)",
    "delete outside": "def attempt(): os.remove(arena['secret'])",
    "make a folder outside": "def attempt(): os.mkdir(arena['folder'] + '/new')",
    "parent's memory": """
def attempt(): os.close(os.open(f"/proc/{arena['parent']}/mem", os.O_RDONLY))
""",
    "parent's environment": """
def attempt(): return len(open(f"/proc/{arena['parent']}/environ", 'rb').read())
""",
    "parent's command line": """
def attempt(): return len(open(f"/proc/{arena['parent']}/cmdline", 'rb').read())
""",
    "parent's descriptors": """
def attempt(): return os.readlink(f"/proc/{arena['parent']}/fd/0")
""",
    "process_vm_readv": C_CALL
    + """
def attempt():
    here = ctypes.create_string_buffer(8)
    local = (ctypes.c_size_t * 2)(ctypes.addressof(here), 8)
    remote = (ctypes.c_size_t * 2)(arena['address'], 8)
    checked(libc.process_vm_readv(arena['parent'], local, 1, remote, 1, 0))
""",
    "ptrace": C_CALL
    + """
def attempt(): checked(libc.ptrace(0x4206, arena['sleeper'], 0, 0))  # PTRACE_SEIZE
""",
    "pidfd_getfd": C_CALL
    + """
def attempt(): return checked(libc.syscall(438, os.pidfd_open(arena['parent']), 0, 0))
""",
    "signal": "def attempt(): os.kill(arena['parent'], 0)",
    "TCP connection": """
def attempt():
    import socket
    socket.create_connection(('127.0.0.1', arena['port']), timeout=5).close()
""",
    "TCP listener": """
def attempt():
    import socket
    socket.create_server(('127.0.0.1', 0)).close()
""",
    "abstract socket": """
def attempt():
    import socket
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(chr(0) + arena['abstract'])
""",
}
FIRST_ABI = {"signal": 6, "abstract socket": 6, "TCP connection": 4, "TCP listener": 4, "truncate outside": 3}


@pytest.fixture
def outside() -> Iterator[dict[str, str | int]]:
    """A TCP listener, an abstract socket and a process that the sealed one must not reach."""
    abstract = f"dfkdbench-test-{os.getpid()}"
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as local:
        local.bind("\0" + abstract)
        local.listen()
        yield {"port": server.getsockname()[1], "abstract": abstract, "sleeper": sleeper.pid}
    sleeper.kill()
    sleeper.wait()


@pytest.mark.parametrize("want", ["landlock", "none"])
@pytest.mark.parametrize("way", OTHERS)
def test_seal__closes_everything_else(
    landlock_arena: Arena,
    way: str,
    want: str,
    outside: dict[str, str | int],
    needs_abi: Callable[[int], None],
) -> None:
    needs_abi(FIRST_ABI.get(way, 1))
    memory = ctypes.create_string_buffer(b"01234567")
    outcome = landlock_arena.attempt(OTHERS[way], want, {"address": ctypes.addressof(memory), **outside})
    if want == "none":
        if outcome.denied == "EPERM" and os.geteuid() != 0:
            pytest.skip("this machine refuses it to ordinary users, sealed or not")
        assert outcome.reached is not None, outcome
    else:
        assert outcome.reached is None, outcome
        assert outcome.denied in {"EACCES", "EPERM"}


AS_ROOT = {
    "mount": C_CALL
    + """
def attempt():
    checked(libc.unshare(0x00020000))  # CLONE_NEWNS
    checked(libc.mount(b'none', b'/', None, 0x44000, None))  # MS_REC | MS_PRIVATE
    source, target = os.fsencode(os.path.dirname(arena['secret'])), os.fsencode(arena['scratch'])
    checked(libc.mount(source, target, None, 0x1000, None))  # MS_BIND
    return open(arena['scratch'] + '/secret.bin').read()
""",
    "mount in a user namespace": C_CALL
    + """
def attempt():
    checked(libc.unshare(0x10000000 | 0x00020000))  # CLONE_NEWUSER | CLONE_NEWNS
    source, target = os.fsencode(os.path.dirname(arena['secret'])), os.fsencode(arena['scratch'])
    checked(libc.mount(source, target, None, 0x1000 | 0x4000, None))
    return open(arena['scratch'] + '/secret.bin').read()
""",
    "chroot": """
def attempt():
    os.chroot(os.path.dirname(arena['secret']))
    return open('/secret.bin').read()
""",
    "disk": "def attempt(): os.close(os.open(arena['disk'], os.O_RDONLY | os.O_NONBLOCK))",
    "disk node of its own": """
def attempt():
    import stat
    os.mknod(arena['scratch'] + '/disk', 0o600 | stat.S_IFBLK, os.stat(arena['disk']).st_rdev)
    os.close(os.open(arena['scratch'] + '/disk', os.O_RDONLY | os.O_NONBLOCK))
""",
    "raw packets": """
def attempt():
    import socket
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()
""",
}


@pytest.mark.parametrize("want", ["landlock", "none"])
@pytest.mark.parametrize("way", AS_ROOT)
def test_seal__closes_what_root_could_do(landlock_arena: Arena, way: str, want: str) -> None:
    disks = [path for path in sorted(Path("/dev").iterdir()) if _opens_as_disk(path)]
    if "disk" in way and not disks:
        pytest.skip("no block device that this user could open")
    outcome = landlock_arena.attempt(AS_ROOT[way], want, {"disk": str(disks[0]) if disks else ""})
    if want == "none":
        if outcome.reached is None:
            pytest.skip(f"not possible here without the seal either: {outcome.text}")
    else:
        assert outcome.reached is None, outcome
        assert outcome.denied in {"EACCES", "EPERM"}


def _opens_as_disk(path: Path) -> bool:
    if not stat.S_ISBLK(path.lstat().st_mode):
        return False
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
    except OSError:
        return False
    return True


@pytest.mark.parametrize("path", ["/dev/mem", "/dev/kmsg", "/dev/fuse", "/dev/kvm", "/root", "/var", "/tmp", "/run"])
def test_seal__leaves_no_such_place(landlock_arena: Arena, path: str) -> None:
    if not Path(path).exists() or Path(path).resolve() in landlock_arena.policy.listed:
        pytest.skip("not on this machine, or listed because a module lies in it")
    code = f"def attempt(): os.close(os.open({path!r}, os.O_RDONLY | os.O_NONBLOCK))"
    assert landlock_arena.attempt(code, "landlock").denied == "EACCES"
