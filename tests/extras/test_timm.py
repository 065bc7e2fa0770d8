"""Architectures of timm in whole runs. Wants the extra: pip install ".[timm]"."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import dfkdbench
from dfkdbench.datasets.specs import DIGITS
from dfkdbench.errors import ConfigError, PlanError
from dfkdbench.models.settling import settle
from dfkdbench.plan import Plan
from dfkdbench.registry import Registry
from dfkdbench.verification.remake import remake

pytest.importorskip("timm", reason="the extra dfkdbench[timm] is not installed")


@pytest.mark.parametrize(
    ("name", "signals"),
    [
        ("resnet10t", {"features", "batch_norm"}),
        ("mobilenetv3_small_050", {"features", "batch_norm"}),
        ("vit_tiny_patch16_224", {"features"}),
    ],
)
def test_member__gives(registry: Registry, name: str, signals: set[str]) -> None:
    assert settle(registry.models.get(f"timm.{name}"), DIGITS).item.signals == signals


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("resnet10tt", ConfigError, "has no architecture 'resnet10tt'. Did you mean 'resnet10t'?"),
        ("resnet18.a1_in1k", ConfigError, "Weights are none of its own here: say timm.resnet18"),
        ("inception_v3", PlanError, "for images of 1x16x16 and 10 classes"),
    ],
)
def test_member__refused(registry: Registry, name: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error) as caught:
        settle(registry.models.get(f"timm.{name}"), DIGITS)
    assert said in str(caught.value.message)


def test_run__sealed_with_batch_norm_loss(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DFKDBENCH_HOME", str(tmp_path / "home"))
    torch.set_num_threads(1)
    (result,) = dfkdbench.run(
        plugin="noise",
        dataset="digits",
        pair="timm.resnet10t:timm.mobilenetv3_small_050",
        budget="smoke",
        generator="conv",
        losses=("batch_norm=1", "activation=0.1"),
        settings={"phases.distil.generator_steps": 1, "generator.channels": [8, 8, 8]},
        threads=1,
        out=tmp_path / "runs",
    )
    assert result.status == "finished", result.error
    (folder,) = (tmp_path / "runs").iterdir()
    plan = Plan.model_validate_json((folder / "plan.json").read_text(encoding="utf-8"))
    assert plan.student.version.startswith("timm ")
    assert remake(plan, registry, None).plan == plan
