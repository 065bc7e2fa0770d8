"""CDFKD-MFS and CDFKD: several teachers taught to one student that has a head for each.

Hao, Luo, Wang, Hu, An. CDFKD-MFS: Collaborative Data-Free Knowledge Distillation via Multi-Level Feature Sharing.
IEEE Transactions on Multimedia 24, 2022. arXiv 2205.11845. The same authors: Model Compression via Collaborative
Data-Free Knowledge Distillation for Edge Intelligence. ICME 2021.
"""

from __future__ import annotations

from dfkdbench.descriptors import Component, Method, ModelSpec
from dfkdbench.hookspecs import hookimpl
from dfkdbench_cdfkd_mfs.architectures import MODELS
from dfkdbench_cdfkd_mfs.components import IMAGE_LOSSES, STUDENT_LOSSES
from dfkdbench_cdfkd_mfs.recipes import METHODS

API = 1


@hookimpl
def dfkdbench_losses() -> tuple[Component, ...]:
    """Losses that pair heads with teachers, and image losses that ask every teacher."""
    return STUDENT_LOSSES + IMAGE_LOSSES


@hookimpl
def dfkdbench_models() -> tuple[ModelSpec, ...]:
    """Students with several heads, and the small teachers of the ICME paper."""
    return MODELS


@hookimpl
def dfkdbench_methods() -> tuple[Method, ...]:
    """CDFKD-MFS, CDFKD, and CDFKD as the former's code has it."""
    return METHODS
