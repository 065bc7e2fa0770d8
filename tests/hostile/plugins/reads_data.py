"""Reads the data that the protocol withholds: a secret in the data root, the shipped digits, copies elsewhere."""

import ctypes
import mmap
import os
import socket
import subprocess
from pathlib import Path

import numpy as np
import torch


def by_path(loop):
    return Path(loop.facts["secret"]).read_text()


def by_descriptor(loop):
    return os.read(os.open(loop.facts["secret"], os.O_RDONLY), 64)


def by_mmap(loop):
    descriptor = os.open(loop.facts["secret"], os.O_RDONLY)
    return mmap.mmap(descriptor, 0, prot=mmap.PROT_READ)[:]


def by_numpy_memmap(loop):
    return bytes(np.memmap(loop.facts["secret"], mode="r"))


def by_torch_reader(loop):
    size = len(loop.facts["text"])
    return bytes(torch.from_file(loop.facts["secret"], size=size, dtype=torch.uint8).tolist())


def by_ctypes(loop):
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.open(os.fsencode(loop.facts["secret"]), os.O_RDONLY)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    text = ctypes.create_string_buffer(64)
    libc.read(descriptor, text, 64)
    return text.value


def by_subprocess(loop):
    return _output("cat", loop.facts["secret"])


def by_shell(loop):
    return _output("sh", "-c", f"cat < {loop.facts['secret']}")


def through_the_judges_root(loop):
    return Path(f"/proc/{loop.facts['judge']}/root{loop.facts['secret']}").read_text()


def through_the_judges_memory(loop):
    os.close(os.open(f"/proc/{loop.facts['judge']}/mem", os.O_RDONLY))
    return loop.facts["text"]


def by_symbolic_link(loop):
    link = Path("link")
    link.symlink_to(loop.facts["secret"])
    return link.read_text()


def by_hard_link(loop):
    link = Path("hard")
    link.hardlink_to(loop.facts["secret"])
    return link.read_text()


def over_tcp(loop):
    with socket.create_connection(("127.0.0.1", loop.facts["port"]), timeout=5) as server:
        return server.recv(64)


def of_the_suite(loop):
    with np.load(loop.facts["digits"]) as arrays:
        return len(arrays["test_labels"]), loop.facts["text"]


def of_scikit_learn(loop):
    return Path(loop.facts["sklearn"]).read_text()


def in_the_cache_of_torchvision(loop):
    return Path(loop.facts["cache"]).read_text()


def _output(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise PermissionError(done.stderr)
    return done.stdout
