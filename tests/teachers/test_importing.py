"""Teachers trained elsewhere: state dicts in, anything else refused."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from dfkdbench.datasets.images import TensorImages
from dfkdbench.descriptors import DatasetSpec, ModelSpec
from dfkdbench.errors import ConfigError, DfkdbenchError, IntegrityError
from dfkdbench.evaluate import evaluate
from dfkdbench.models.build import build_network
from dfkdbench.teachers.bundle import load_teacher
from dfkdbench.teachers.card import TeacherBundle, hash_file
from dfkdbench.teachers.importing import import_teacher


@pytest.fixture
def arch(models: dict[str, ModelSpec]) -> ModelSpec:
    return models["resnet_xs"]


@pytest.fixture
def state(arch: ModelSpec) -> dict[str, Tensor]:
    return dict(build_network(arch, 1, 10, 16, seed=5).state_dict())


def holds(bundle: TeacherBundle, state: dict[str, Tensor]) -> bool:
    stored = load_file(bundle.weights)
    return stored.keys() == state.keys() and all(torch.equal(stored[key], value) for key, value in state.items())


def test_import_teacher__safetensors(
    dataset: DatasetSpec, arch: ModelSpec, state: dict[str, Tensor], test_images: TensorImages, tmp_path: Path
) -> None:
    source = tmp_path / "net.safetensors"
    save_file(state, source)
    bundle = import_teacher(dataset, arch, source, test_images, tmp_path / "home", mean=(0.5,), std=(0.5,))
    assert holds(bundle, state)
    card = bundle.card
    assert card.name == f"squares-resnet_xs-imported-{hash_file(source)[:8]}"
    assert (card.kind, card.seed, card.recipe, card.mean, card.std) == ("imported", None, None, (0.5,), (0.5,))
    network = load_teacher(bundle, arch)
    assert card.accuracy == evaluate(network, test_images, (0.5,), (0.5,), "cpu").accuracy
    with pytest.raises(ConfigError, match="There is a teacher 'squares-resnet_xs-imported"):
        import_teacher(dataset, arch, source, test_images, tmp_path / "home")


def test_import_teacher__pickle_only_when_allowed(
    dataset: DatasetSpec, arch: ModelSpec, state: dict[str, Tensor], test_images: TensorImages, tmp_path: Path
) -> None:
    source = tmp_path / "net.pth"
    torch.save({"epoch": 3, "state_dict": {f"module.{key}": value for key, value in state.items()}}, source)
    with pytest.raises(ConfigError, match=r"is no \.safetensors file\. Convert it .* --allow-pickle"):
        import_teacher(dataset, arch, source, test_images, tmp_path / "home", name="mine")
    bundle = import_teacher(dataset, arch, source, test_images, tmp_path / "home", name="mine", allow_pickle=True)
    assert bundle.name == "mine"
    assert holds(bundle, state)


def test_import_teacher__renames_fills_counters_and_casts(
    dataset: DatasetSpec, arch: ModelSpec, state: dict[str, Tensor], test_images: TensorImages, tmp_path: Path
) -> None:
    foreign = {
        key.replace("downsample.", "shortcut.").replace("fc.", "linear."): value.half()
        for key, value in state.items()
        if not key.endswith("num_batches_tracked")
    }
    source = tmp_path / "net.safetensors"
    save_file(foreign, source)
    with pytest.raises(IntegrityError, match=r"lacks 'fc\.bias' \(10,\); nearest in the file: 'linear\.bias'"):
        import_teacher(dataset, arch, source, test_images, tmp_path / "home")
    rename = [(r"shortcut\.", "downsample."), (r"^linear\.", "fc.")]
    bundle = import_teacher(dataset, arch, source, test_images, tmp_path / "home", rename=rename)
    expected = {key: value.half().float() if value.is_floating_point() else value for key, value in state.items()}
    assert holds(bundle, expected)
    with pytest.raises(ConfigError, match=r"Can't rename tensors with '\(' -> ''"):
        import_teacher(dataset, arch, source, test_images, tmp_path / "home", name="x", rename=[("(", "")])


def test_import_teacher__refuses_whole_models_and_other_things(
    dataset: DatasetSpec, arch: ModelSpec, test_images: TensorImages, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    with pytest.raises(ConfigError, match="There is no file"):
        import_teacher(dataset, arch, tmp_path / "none.pt", test_images, home)
    source = tmp_path / "net.pt"
    torch.save(build_network(arch, 1, 10, 16), source)
    with pytest.raises(IntegrityError, match=r"holds more than tensors, such as a whole model"):
        import_teacher(dataset, arch, source, test_images, home, allow_pickle=True)
    torch.save({"accuracy": 95.0}, source)
    with pytest.raises(IntegrityError, match="holds no state dict: expected tensors by name"):
        import_teacher(dataset, arch, source, test_images, home, allow_pickle=True)
    source.write_bytes(b"nothing at all")
    with pytest.raises(IntegrityError, match="is damaged or holds more than tensors"):
        import_teacher(dataset, arch, source, test_images, home, allow_pickle=True)
    assert not home.exists()


def test_import_teacher__refuses_weights_of_another_architecture(
    dataset: DatasetSpec,
    models: dict[str, ModelSpec],
    state: dict[str, Tensor],
    test_images: TensorImages,
    tmp_path: Path,
) -> None:
    source = tmp_path / "net.safetensors"
    save_file(state, source)
    with pytest.raises(
        IntegrityError, match=r"'conv1\.weight' is \(4, 1, 3, 3\), expected \(8, 1, 3, 3\)(.|\n)*and 41 more"
    ):
        import_teacher(dataset, models["resnet_s"], source, test_images, tmp_path / "home")


class Exploit:
    """Unpickled without care, it would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def hostile_files(state: dict[str, Tensor], folder: Path) -> dict[str, bytes]:
    source = folder / "source"
    save_file(state, source)
    good = source.read_bytes()
    torch.save({"state_dict": state, "extra": Exploit(folder / "run.me")}, source)
    runs_code = source.read_bytes()
    torch.save(state, source)
    legacy = source.read_bytes()
    length = int.from_bytes(good[:8], "little")
    return {
        "empty.safetensors": b"",
        "short.safetensors": good[:-100],
        "header.safetensors": good[: 8 + length // 2],
        "huge-header.safetensors": (1 << 62).to_bytes(8, "little") + good[8:],
        "hundred-mb-header.safetensors": (100 << 20).to_bytes(8, "little") + good[8:],
        "offsets.safetensors": good.replace(b'"data_offsets":[0', b'"data_offsets":[9', 1),
        "shapes.safetensors": good.replace(b'"shape":[4', b'"shape":[9', 1),
        "pickle.safetensors": legacy,
        "code.pth": runs_code,
        "old-code.pth": pickle.dumps({"state_dict": Exploit(folder / "run.me")}),
        "torn.pth": legacy[: len(legacy) // 2],
        "noise.pth": bytes(range(256)) * 40,
        "number.pth": pickle.dumps(3),
        "text.pth": b"not a checkpoint",
        "flipped.pth": bytes(byte ^ 0x55 if 60 < place < 400 else byte for place, byte in enumerate(legacy)),
    }


@pytest.mark.parametrize("allow_pickle", [True, False])
def test_import_teacher__hostile_files_give_one_message_each(
    allow_pickle: bool,
    dataset: DatasetSpec,
    arch: ModelSpec,
    state: dict[str, Tensor],
    test_images: TensorImages,
    tmp_path: Path,
) -> None:
    for name, data in hostile_files(state, tmp_path).items():
        file = tmp_path / name
        file.write_bytes(data)
        with pytest.raises(DfkdbenchError) as caught:
            import_teacher(dataset, arch, file, test_images, tmp_path / "home", allow_pickle=allow_pickle)
        assert name in caught.value.message
        assert "\n" not in caught.value.message, name
    assert not (tmp_path / "run.me").exists()
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_import_teacher__values_that_are_not_finite(
    value: float,
    dataset: DatasetSpec,
    arch: ModelSpec,
    state: dict[str, Tensor],
    test_images: TensorImages,
    tmp_path: Path,
) -> None:
    state["fc.bias"][3] = value
    save_file(state, tmp_path / "net.safetensors")
    with pytest.raises(IntegrityError, match=r"are not all finite: 'fc\.bias'\. No teacher can be made"):
        import_teacher(dataset, arch, tmp_path / "net.safetensors", test_images, tmp_path / "home")


def test_import_teacher__far_too_large(
    dataset: DatasetSpec, arch: ModelSpec, test_images: TensorImages, tmp_path: Path
) -> None:
    for name in ("vast.safetensors", "vast.pth"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(1 << 34)  # sparse: 16 GB by its size, nothing on the disk
        with pytest.raises(IntegrityError, match="bytes, at most"):
            import_teacher(dataset, arch, tmp_path / name, test_images, tmp_path / "home", allow_pickle=True)
