"""Checks of architectures and of data sets."""

from __future__ import annotations

import torch
from torch import nn

from dfkdbench.conformance.checks import Breach, DoesNotApply
from dfkdbench.conformance.subjects import Subject
from dfkdbench.datasets.images import ImageSet
from dfkdbench.datasets.loading import load_dataset
from dfkdbench.descriptors import DatasetSpec, ModelSpec
from dfkdbench.errors import DfkdbenchError
from dfkdbench.models.build import build_network
from dfkdbench.seams import Signal, read_signal
from dfkdbench.weights import dump_weights, load_weights, parse_weights

_SIZES = (16, 32, 64)
_BATCH = 3
_DIFFERENT = 0.1
_MANY_COPIES = 0.05


def _shapes(model: ModelSpec) -> list[tuple[int, int, int]]:
    """(channels, classes, image size) of networks to try: of the sizes it says, or of those it does not refuse.

    Raises:
        Breach: It refuses them all.
    """
    refusals = []
    sizes = []
    for size in model.image_sizes or _SIZES:
        try:
            build_network(model, 1, 2, size)
        except DfkdbenchError as refusal:
            refusals.append(refusal.message)
        else:
            sizes.append(size)
    if not sizes or (model.image_sizes and refusals):
        raise Breach(f"It refuses sizes: {refusals[0]}")
    return [(1, 2, sizes[0]), (3, 10, sizes[-1]), (3, 100, sizes[0])]


def gives_logits(subject: Subject) -> str:
    """Logits of one and three channels, its image sizes, and 2 to 100 classes."""
    for channels, classes, size in _shapes(subject.item):
        signal = _read(subject, channels, classes, size)
        shape = tuple(signal.logits.shape)
        if shape != (_BATCH, classes) or signal.logits.dtype != torch.float32:
            raise Breach(
                f"On {channels} x {size} x {size} images of {classes} classes it gives {signal.logits.dtype} of shape "
                f"{shape}; expected torch.float32 of shape {(_BATCH, classes)}."
            )
        if not signal.logits.isfinite().all():
            raise Breach("It gives logits that are not finite.")
    return f"{len(_shapes(subject.item))} shapes"


def _read(subject: Subject, channels: int, classes: int, size: int) -> Signal:
    network = build_network(subject.item, channels, classes, size).eval()
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        wants = frozenset({"features", "stages", "batch_norm", "batch_norm_means", "heads"})
        return read_signal(network, torch.randn(_BATCH, channels, size, size, generator=rng), wants)


def gives_its_signals(subject: Subject) -> str:
    """It gives the signals that its description names, of the shapes that losses count on, and no others."""
    model: ModelSpec = subject.item
    signal = _read(subject, *_shapes(model)[0])
    classes = _shapes(model)[0][1]
    given = {
        "features": signal.features is not None,
        "stages": bool(signal.stages),
        "batch_norm": bool(signal.batch_norm),
        "heads": bool(signal.heads),
    }
    declared = {name: name in model.signals for name in given}
    declared["heads"] = declared["heads"] or model.heads > 0
    for name in given:
        if given[name] != declared[name]:
            raise Breach(
                f"It {'gives' if given[name] else 'does not give'} the signal '{name}', against its description."
            )
    if signal.features is not None and (signal.features.dim() != 2 or len(signal.features) != _BATCH):
        raise Breach(f"Its features have the shape {tuple(signal.features.shape)}; expected (B, D).")
    if any(stage.dim() != 4 for stage in signal.stages):
        raise Breach("A stage is no (B, C, H, W).")
    if len(signal.heads) != model.heads or any(tuple(head.shape) != (_BATCH, classes) for head in signal.heads):
        raise Breach(f"It gives {len(signal.heads)} heads; its description says {model.heads}, each (B, K).")
    if len(signal.batch_norm) != len(signal.batch_norm_means):
        raise Breach("It gives the statistics of some batch norms and the means of others.")
    return ", ".join(name for name, there in given.items() if there) or "logits alone"


def has_plain_weights(subject: Subject) -> str:
    """Weights depend on the seed alone, travel as safetensors, and an eval pass leaves them as they are."""
    shape = _shapes(subject.item)[0]
    first, second = (build_network(subject.item, *shape, seed=1) for _ in range(2))
    weights = dump_weights(first)
    if dump_weights(second) != weights:
        raise Breach("Two networks of one seed start from different weights.")
    other = build_network(subject.item, *shape, seed=2)
    load_weights(other, parse_weights(weights, "its weights"), "the network")
    _run_eval(other, shape)
    if dump_weights(other) != weights:
        raise Breach("An eval pass changes weights or buffers.")
    return f"{sum(value.numel() for value in first.state_dict().values()):,} numbers"


def _run_eval(network: nn.Module, shape: tuple[int, int, int]) -> None:
    channels, _, size = shape
    with torch.no_grad():
        network.eval()(torch.zeros(_BATCH, channels, size, size))


def _load(subject: Subject, train: bool) -> ImageSet:
    spec: DatasetSpec = subject.item
    if spec.needs_root and subject.data_root is None:
        raise DoesNotApply("its files are elsewhere: say --data-root DIR")
    return load_dataset(spec, subject.data_root, train=train)


def loads(subject: Subject) -> str:
    """Both parts load as the description says, and a second time with the same fingerprint."""
    sizes = []
    for train in (True, False):
        first, again = _load(subject, train), _load(subject, train)
        part = "training" if train else "test"
        if first.fingerprint() != again.fingerprint():
            raise Breach(f"The {part} images are others when they are loaded again.")
        images, labels = first.take(torch.arange(min(len(first), _BATCH)))
        if images.dtype != torch.uint8 or tuple(images.shape[1:]) != tuple(first.shape):
            raise Breach(f"take gives {images.dtype} of shape {tuple(images.shape)}; expected uint8 (B, C, H, W).")
        if labels.dtype != torch.int64:
            raise Breach(f"take gives labels of {labels.dtype}; expected torch.int64.")
        sizes.append(f"{len(first):,} {part} images")
    return " and ".join(sizes)


def keeps_test_images_apart(subject: Subject) -> str:
    """The test images are not among the training images."""
    seen: set[bytes] = set()
    for images, _ in _load(subject, train=True).batches(1024):
        seen |= {image.numpy().tobytes() for image in images.cpu()}
    copies = count = 0
    for images, _ in _load(subject, train=False).batches(1024):
        copies += sum(image.numpy().tobytes() in seen for image in images.cpu())
        count += len(images)
    if copies > _MANY_COPIES * count:
        raise Breach(f"{copies:,} of {count:,} test images are training images.")
    return f"{copies:,} of {count:,} test images are training images"


def is_normalised(subject: Subject) -> str:
    """Mean and std of its description are those of the training pixels, per channel and roughly."""
    spec: DatasetSpec = subject.item
    images = _load(subject, train=True)
    some, _ = images.take(torch.arange(0, len(images), max(1, len(images) // 2000)))
    pixels = some.float() / 255
    for name, told, found in (
        ("mean", spec.mean, pixels.mean(dim=(0, 2, 3))),
        ("std", spec.std, pixels.std(dim=(0, 2, 3))),
    ):
        if len(told) != spec.channels or any(
            abs(one - float(value)) > _DIFFERENT for one, value in zip(told, found, strict=True)
        ):
            measured = ", ".join(f"{float(value):.4f}" for value in found)
            raise Breach(f"The description has {name} {told}; that of the training pixels is ({measured}).")
    return f"mean {', '.join(map(str, spec.mean))} and std {', '.join(map(str, spec.std))}, within {_DIFFERENT}"


def has_whole_cells(subject: Subject) -> str:
    """Its pairs are of models that are installed and take its images; its default tier is there."""
    from dfkdbench.compatibility import check_sizes

    spec: DatasetSpec = subject.item
    if not spec.pairs or spec.default_budget not in spec.budgets:
        raise Breach(f"It has the pairs {spec.pairs} and the default tier '{spec.default_budget}', which it needs.")
    for pair in spec.pairs:
        teacher, colon, student = pair.partition(":")
        try:
            check_sizes(spec, *(subject.registry.models.get(name).item for name in (teacher, student) if colon))
        except DfkdbenchError as error:
            raise Breach(f"The pair '{pair}': {error.message}") from None
        if not colon:
            raise Breach(f"The pair '{pair}' is not of the form teacher:student.")
    if "smoke" not in spec.budgets:
        raise Breach("It has no tier 'smoke', which quick trials and verification use.")
    return f"{len(spec.pairs)} pairs, tiers {', '.join(spec.budgets)}"
