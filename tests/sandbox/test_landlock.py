from __future__ import annotations

import os
import struct

import pytest

from dfkdbench.sandbox import landlock
from dfkdbench.sandbox.errors import SandboxError
from dfkdbench.sandbox.landlock import NEWEST_ABI, WRITE, Right, abi_version, handled_rights, ruleset_attributes


def test_restrict_self__refuses_without_landlock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landlock, "abi_version", lambda: 0)
    with pytest.raises(SandboxError, match=r"no Landlock.*isolation 'audit' needs none"):
        landlock.restrict_self([])


def test_abi_version__is_what_the_kernel_says() -> None:
    release = tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2])
    first_kernel = {1: (5, 13), 2: (5, 19), 3: (6, 2), 4: (6, 7), 5: (6, 10), 6: (6, 12), 7: (6, 15)}
    known = max((abi for abi, first in first_kernel.items() if first <= release), default=0)
    assert abi_version() == 0 or min(abi_version(), NEWEST_ABI) == known


@pytest.mark.parametrize(
    ("abi", "last"),
    [
        (1, Right.MAKE_SYM),
        (2, Right.REFER),
        (3, Right.TRUNCATE),
        (4, Right.TRUNCATE),
        (5, Right.IOCTL_DEV),
        (7, Right.IOCTL_DEV),
    ],
)
def test_handled_rights__grow_with_the_interface(abi: int, last: Right) -> None:
    rights = handled_rights(abi)
    assert last in rights
    assert int(last) * 2 - 1 == int(rights)


@pytest.mark.parametrize(("abi", "words"), [(1, 1), (3, 1), (4, 2), (5, 2), (6, 3), (7, 3)])
def test_ruleset_attributes__are_as_long_as_the_kernel_knows(abi: int, words: int) -> None:
    attributes = struct.unpack(f"={words}Q", ruleset_attributes(abi))
    assert attributes == (int(handled_rights(abi)), 3, 3)[:words]


def test_write_rights__make_no_device_nodes() -> None:
    assert not WRITE & (Right.MAKE_CHAR | Right.MAKE_BLOCK | Right.IOCTL_DEV)
