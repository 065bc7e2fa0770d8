"""How the worker seals itself: what it may touch is listed, everything else is closed.

Standard library only. A worker calls this first thing in a fresh interpreter, before any library starts threads.

    judge:   policy = expand(worker_policy(reads, writes, protected, import_roots)); send policy.to_json()
    worker:  go_on_supervised(); in_force = seal(Policy.from_json(text), "auto")

The judge expands the policy, because only the judge knows the protected paths.
"""

from __future__ import annotations

from dfkdbench.sandbox.errors import SandboxError
from dfkdbench.sandbox.landlock import abi_version
from dfkdbench.sandbox.policy import Policy, expand, union
from dfkdbench.sandbox.privileges import die_with_parent
from dfkdbench.sandbox.scratch import scratch_environment
from dfkdbench.sandbox.seal import HIGH_PORTS, seal
from dfkdbench.sandbox.supervisor import END_ALL, go_on_supervised
from dfkdbench.sandbox.worker import worker_policy

__all__ = [
    "END_ALL",
    "HIGH_PORTS",
    "Policy",
    "SandboxError",
    "abi_version",
    "die_with_parent",
    "expand",
    "go_on_supervised",
    "scratch_environment",
    "seal",
    "union",
    "worker_policy",
]
