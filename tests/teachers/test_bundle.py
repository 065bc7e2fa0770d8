"""Bundles on disk: complete or absent, refused when not what their card says."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from dfkdbench.descriptors import ModelSpec
from dfkdbench.errors import ConfigError, IntegrityError
from dfkdbench.models.build import build_network
from dfkdbench.teachers.bundle import load_teacher, save_bundle
from dfkdbench.teachers.card import CARD_FILE, WEIGHTS_FILE, TeacherBundle, hash_file, read_bundle
from dfkdbench.weights import read_weights


def rewrite_card(bundle: TeacherBundle, **changes: object) -> None:
    path = bundle.folder / CARD_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_save_bundle__files_and_card(bundle: TeacherBundle) -> None:
    assert sorted(path.name for path in bundle.folder.iterdir()) == [CARD_FILE, WEIGHTS_FILE]
    assert [path.name for path in bundle.folder.parent.iterdir()] == ["squares-resnet_xs-s4-smoke"]
    assert bundle.card.sha256 == hash_file(bundle.weights)
    assert read_bundle(bundle.folder) == bundle
    card = json.loads((bundle.folder / CARD_FILE).read_text())
    assert card["schema"] == 1
    assert card["recipe"]["epochs"] == 1


def test_save_bundle__refuses_to_replace_unless_told(bundle: TeacherBundle, models: dict[str, ModelSpec]) -> None:
    network = build_network(models["resnet_xs"], 1, 10, 16, seed=9)
    facts = bundle.card.model_dump(by_alias=True, exclude={"sha256"})
    with pytest.raises(ConfigError, match=r"There is a teacher 'squares-resnet_xs-s4-smoke' in .* already"):
        save_bundle(bundle.folder.parent, network, facts)
    assert read_bundle(bundle.folder) == bundle
    replaced = save_bundle(bundle.folder.parent, network, facts, overwrite=True)
    assert replaced.sha256 != bundle.sha256
    assert read_bundle(bundle.folder) == replaced
    assert [path.name for path in bundle.folder.parent.iterdir()] == [bundle.name]


def test_save_bundle__leaves_nothing_when_writing_fails(
    bundle: TeacherBundle, models: dict[str, ModelSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(source: Path, target: Path) -> None:
        raise OSError("disk full")

    facts = bundle.card.model_dump(by_alias=True, exclude={"sha256"}) | {"name": "another"}
    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="disk full"):
        save_bundle(bundle.folder.parent, build_network(models["resnet_xs"], 1, 10, 16), facts)
    assert [path.name for path in bundle.folder.parent.iterdir()] == [bundle.name]


def test_load_teacher__same_weights_frozen_in_eval_mode(bundle: TeacherBundle, models: dict[str, ModelSpec]) -> None:
    network = load_teacher(bundle, models["resnet_xs"])
    stored = load_file(bundle.weights)
    assert stored.keys() == network.state_dict().keys()
    assert all(torch.equal(stored[key], value) for key, value in network.state_dict().items())
    assert not any(module.training for module in network.modules())
    assert not any(parameter.requires_grad for parameter in network.parameters())


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def make_a_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps(Bomb()))


def make_a_torch_file(path: Path) -> None:
    torch.save({"weight": torch.zeros(2)}, path)


def make_noise(path: Path) -> None:
    path.write_bytes(b"\x01" * 200)


class Bomb:
    """Ends the test run if anything unpickles it."""

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return (exit, ("unpickled",))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (flip_a_bit, r"has sha256 \w{12}…, expected \w{12}…; it is not the pinned file"),
        (cut_off, "is damaged or truncated"),
        (make_a_pickle, "is a pickle, which could run code"),
        (make_a_torch_file, "is a pickle, which could run code"),
        (make_noise, "is no safetensors file"),
        (Path.unlink, "Can't read .*No such file"),
    ],
)
def test_load_teacher__refuses_damaged_weights(
    bundle: TeacherBundle, models: dict[str, ModelSpec], damage: Callable[[Path], None], message: str
) -> None:
    damage(bundle.weights)
    with pytest.raises(IntegrityError, match=message):
        load_teacher(bundle, models["resnet_xs"])


def test_load_teacher__refuses_wrong_shapes_names_and_types(
    bundle: TeacherBundle, models: dict[str, ModelSpec]
) -> None:
    tensors = load_file(bundle.weights)
    wrong = {
        "'fc.weight' is torch.float32 of shape \\(10, 15\\), expected torch.float32 of shape \\(10, 16\\)": tensors
        | {"fc.weight": tensors["fc.weight"][:, :15].contiguous()},
        "'fc.bias' is torch.float16": tensors | {"fc.bias": tensors["fc.bias"].half()},
        "lacks 'fc.bias' and also holds 'head.bias'": {
            ("head.bias" if key == "fc.bias" else key): value for key, value in tensors.items()
        },
    }
    for message, changed in wrong.items():
        save_file(changed, bundle.weights)
        rewrite_card(bundle, sha256=hash_file(bundle.weights))
        with pytest.raises(IntegrityError, match=message):
            load_teacher(read_bundle(bundle.folder), models["resnet_xs"])


def test_load_teacher__refuses_another_architecture(bundle: TeacherBundle, models: dict[str, ModelSpec]) -> None:
    with pytest.raises(IntegrityError, match="is a resnet_xs, not a resnet_s"):
        load_teacher(bundle, models["resnet_s"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": 2}, "is no teacher card: schema"),
        ({"accuracy": "98.6"}, "is no teacher card: accuracy"),
        ({"extra": 1}, "is no teacher card: extra"),
        ({"name": "other"}, "is the card of 'other', but its folder is called 'squares-resnet_xs-s4-smoke'"),
    ],
)
def test_read_bundle__refuses_wrong_cards(bundle: TeacherBundle, changes: dict[str, object], message: str) -> None:
    rewrite_card(bundle, **changes)
    with pytest.raises(IntegrityError, match=message):
        read_bundle(bundle.folder)


def test_read_bundle__refuses_half_a_bundle(bundle: TeacherBundle) -> None:
    bundle.weights.unlink()
    with pytest.raises(IntegrityError, match=r"has no weights\.safetensors"):
        read_bundle(bundle.folder)
    (bundle.folder / CARD_FILE).write_text("{")
    with pytest.raises(IntegrityError, match="is no teacher card: the file"):
        read_bundle(bundle.folder)
    (bundle.folder / CARD_FILE).unlink()
    with pytest.raises(IntegrityError, match=r"has no readable teacher\.json"):
        read_bundle(bundle.folder)


def test_read_weights__any_hash_where_none_is_pinned(bundle: TeacherBundle) -> None:
    assert read_weights(bundle.weights).keys() == read_weights(bundle.weights, bundle.sha256).keys()
