"""Every check can fail: deliberately broken plugins, each caught by one check and by its text."""

from __future__ import annotations

import pytest

from dfkdbench.conformance import CHECKS, examinations_of
from dfkdbench.registry import Registry

BROKEN = {
    "heavy": ("light", "imports torch (at "),
    "absent": ("target", "The target 'broken_code:NoSuchGenerator' can't be imported"),
    "undocumented": ("described", "broken_code:Undocumented has no docstring"),
    "lenient": ("options", "The unknown key 'no_such_option' is not refused"),
    "stale_preset": ("presets", "Unknown key 'generator.no_such_option'"),
    "nosy": ("access", "asked for the teacher's logits (signal.logits), and this run's access has no 'soft_labels'"),
    "sixteen_pixels": ("shapes", "gives torch.float32 images of shape (16, 3, 16, 16)"),
    "detached": ("gradients", "The generator is the same after steps towards opposite ends"),
    "detached_loss": ("gradients", "is zero everywhere"),
    "vandal": ("teacher", "The teacher's 'norms.0.running_mean' was changed"),
    "set_in_state": ("state", "is a set"),
    "unseeded": ("repeats", "Two runs of one plan gave two students"),
    "forgetful": ("resume", "Stopped after round 1 of 3 and resumed"),
    "by_hash": ("blindness", "Three sealed runs of one plan gave different students"),
    "reading": ("host-reads", "aten._local_scalar_dense.default: a tensor is read as a number"),
    "printing": ("host-reads", "a tensor is formatted"),
    "masking": ("host-reads", "with a mask: the size of the result depends on values"),
    "asking_again": ("forwards", "of the teacher's"),
    "odd_labels": ("composes", "With losses.label=1.0"),
    "backwards": ("learns", "of the toy test set right after"),
    "ten_classes": ("logits", "of shape (3, 10); expected torch.float32 of shape (3, 2)"),
    "silent": ("signals", "It does not give the signal 'features', against its description"),
    "unseeded_network": ("weights", "Two networks of one seed start from different weights"),
    "shuffled": ("loads", "The training images are others when they are loaded again"),
    "copied": ("splits", "of 1,297 test images are training images"),
    "dark": ("normalisation", "The description has mean (0.9,)"),
    "unpaired": ("cells", "Unknown model 'no_such_model'"),
}
"""Name -> the check that catches it, and what that says."""

SEALED = "blindness"
"""Takes three processes, so that only the plugin that it is to catch is put to it."""


def test_broken__there_is_one_for_every_check() -> None:
    assert {check for check, _ in BROKEN.values()} == {check.name for check in CHECKS}


@pytest.mark.parametrize("name", BROKEN)
def test_broken__is_caught_by_its_check_alone(name: str, broken_registry: Registry) -> None:
    expected, text = BROKEN[name]
    (examination,) = examinations_of(name, registry=broken_registry)
    checks = [check for check in examination.checks if check.name != SEALED or expected == SEALED]
    failed = {check.name: examination.outcome(check).reason for check in checks if failed_on(examination, check)}
    assert list(failed) == [expected], failed
    assert text in failed[expected]
    assert failed[expected].endswith(next(check.remedy for check in CHECKS if check.name == expected))


def failed_on(examination, check) -> bool:
    return examination.outcome(check).result == "FAIL"
