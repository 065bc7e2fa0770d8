"""What each league's methods get of a teacher, asked for through the proxy and around it."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dfkdbench.access import Teacher, explain, limit_teacher
from dfkdbench.answers import Answer
from dfkdbench.descriptors import ACCESS_BEHIND, SIGNALS, TEACHER_ACCESS
from dfkdbench.errors import AccessError
from dfkdbench.meter import Meter
from dfkdbench.models.digits import resnet_s
from dfkdbench.parts.aggregators import MeanAggregator
from dfkdbench.parts.losses.hard_labels import HardLabelsLoss
from dfkdbench.recipe import Options
from dfkdbench.rng import seeded_initialisation
from dfkdbench.seams import Setting, Signal, View, read_signal

LEAGUES = {
    "nothing": frozenset(),
    "hard labels": frozenset({"hard_labels"}),
    "soft labels": frozenset({"soft_labels"}),
    "input gradients": frozenset({"soft_labels", "input_gradients"}),
    "features": frozenset({"soft_labels", "input_gradients", "features"}),
    "features alone": frozenset({"features"}),
    "batch norm": frozenset({"soft_labels", "input_gradients", "batch_norm"}),
    "everything": frozenset(TEACHER_ACCESS),
}
FIELDS = {"logits": "soft_labels", **ACCESS_BEHIND}
league = pytest.mark.parametrize("access", LEAGUES.values(), ids=LEAGUES.keys())


@pytest.fixture
def setting() -> Any:
    """As much of a setting as these parts look at."""
    return SimpleNamespace(classes=10)


def network(seed: int = 0) -> nn.Module:
    with seeded_initialisation(seed):
        return resnet_s(1, 10, 16).eval().requires_grad_(False)


def images(gradient: bool = False) -> Tensor:
    return torch.randn(4, 1, 16, 16, generator=torch.Generator().manual_seed(1)).requires_grad_(gradient)


def teacher_of(held: nn.Module, access: frozenset[str]) -> Teacher:
    return limit_teacher(held, access, Meter())


def allowed_wants(access: frozenset[str]) -> frozenset[str]:
    return frozenset(signal for signal in SIGNALS if ACCESS_BEHIND[signal] in access)


def tensors_of(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from tensors_of(item)


@league
@pytest.mark.parametrize("field", FIELDS)
def test_signal__a_field_that_is_not_declared_names_the_declaration(access: frozenset[str], field: str) -> None:
    signal = teacher_of(network(), access)(images(), allowed_wants(access))
    assert signal.gives(field) == (FIELDS[field] in access)
    if FIELDS[field] in access:
        expected = read_signal(network(), images(), allowed_wants(access))
        for ours, theirs in zip(tensors_of(getattr(signal, field)), tensors_of(getattr(expected, field)), strict=True):
            assert torch.equal(ours, theirs)
        return
    with pytest.raises(AccessError, match=f"signal.{field}.*no '{FIELDS[field]}'.*needs="):
        getattr(signal, field)
    assert not list(tensors_of(signal[Signal._fields.index(field)]))


@league
@pytest.mark.parametrize("wanted", SIGNALS)
def test_teacher__refuses_wants_that_are_not_declared(access: frozenset[str], wanted: str) -> None:
    teacher = teacher_of(network(), access)
    if ACCESS_BEHIND[wanted] in access:
        teacher(images(), frozenset({wanted}))
        return
    with pytest.raises(AccessError, match=f"the teacher's {wanted}, and this run's access has no"):
        teacher(images(), frozenset({wanted}))


@league
def test_gradients__are_there_where_they_are_declared(access: frozenset[str]) -> None:
    batch = images(gradient=True)
    signal = teacher_of(network(), access)(batch, allowed_wants(access))
    floating = [tensor for tensor in tensors_of(tuple(signal)) if tensor.is_floating_point()]
    in_graph = [tensor for tensor in floating if tensor.grad_fn is not None]
    if "input_gradients" in access:
        assert torch.autograd.grad(signal.logits.sum(), batch)[0].abs().sum() > 0
        return
    assert in_graph == []
    if "soft_labels" in access:
        with pytest.raises(RuntimeError) as missed:
            torch.autograd.grad(signal.logits.sum(), batch)
        assert "no 'input_gradients'; it has: soft_labels" in explain(missed.value, access)


def test_hard_labels__are_classes_and_no_more() -> None:
    signal = teacher_of(network(), LEAGUES["hard labels"])(images())
    expected = network()(images()).argmax(1)
    assert torch.equal(signal.decisions(), expected)
    assert [tensor.dtype for tensor in tensors_of(tuple(signal))] == [torch.int64]
    for access in ("nothing", "features alone"):
        with pytest.raises(AccessError, match="hard_labels"):
            teacher_of(network(), LEAGUES[access])(images()).decisions()
    soft = teacher_of(network(), LEAGUES["soft labels"])(images())
    assert torch.equal(soft.decisions(), expected)


@league
@pytest.mark.parametrize("made", ["sliced", "joined", "detached", "aggregated"])
def test_signals_made_of_others__withhold_the_same(access: frozenset[str], made: str, setting: Setting) -> None:
    signal = teacher_of(network(), access)(images(), allowed_wants(access))
    answer = Answer(signal, (signal,))
    other = teacher_of(network(1), access)(images(), allowed_wants(access))
    ours = {
        "sliced": answer.split(1)[0].target,
        "joined": answer.followed_by(answer).target,
        "detached": answer.detach().target,
        "aggregated": MeanAggregator(Options(), setting)([signal, other]),
    }[made]
    for field, behind in FIELDS.items():
        if behind not in access:
            with pytest.raises(AccessError):
                getattr(ours, field)
    if "soft_labels" in access:
        assert ours.logits is not None


def test_several_hard_label_teachers__the_class_with_most_votes_and_the_lowest_of_equals(setting: Setting) -> None:
    kind = type(teacher_of(network(), LEAGUES["hard labels"])(images()))

    def deciding(*classes: int) -> Signal:
        return kind._make((None, None, (), (), (), (), torch.tensor(classes)))

    votes = [deciding(3, 1, 9), deciding(3, 2, 8), deciding(5, 2, 7)]
    assert MeanAggregator(Options(), setting)(votes).decisions().tolist() == [3, 2, 7]


def test_hard_labels_loss__works_on_classes_alone(setting: Setting) -> None:
    student = Signal(torch.randn(4, 10, generator=torch.Generator().manual_seed(2)))
    losses = []
    for access in ("hard labels", "soft labels"):
        target = teacher_of(network(), LEAGUES[access])(images())
        losses.append(HardLabelsLoss(Options(), setting)(View(images(), target, (target,), student)))
    assert torch.equal(*losses)


@league
@pytest.mark.parametrize(
    "name",
    ["parameters", "named_parameters", "state_dict", "buffers", "modules", "children", "_modules", "conv1", "forward"],
)
def test_teacher__has_no_inside(access: frozenset[str], name: str) -> None:
    with pytest.raises(AccessError, match=f"The teacher's '{name}' was asked for.*Declarations are: hard_labels"):
        getattr(teacher_of(network(), access), name)


def reachable(root: object, wanted: type, depth: int = 12) -> bool:
    """Whether walking referents, closures included, leads to an object of a type."""
    seen, layer = {id(root)}, [root]
    for _ in range(depth):
        layer = [item for item in gc.get_referents(*layer) if id(item) not in seen and not isinstance(item, type)]
        layer = [item for item in layer if type(item).__name__ not in ("module", "dict") or isinstance(item, wanted)]
        seen |= {id(item) for item in layer}
        if any(isinstance(item, wanted) for item in layer):
            return True
    return False


@pytest.mark.parametrize("walk", ["closure", "garbage collector", "referents"])
def test_proxy_in_process__does_not_stop(walk: str) -> None:
    """Why labels-only leagues have their teachers in another process. See docs/threat-model.md."""
    held = network()
    teacher = teacher_of(held, LEAGUES["soft labels"])
    if walk == "closure":
        inner = [cell.cell_contents for cell in teacher._answer.__closure__]
        inner += [cell.cell_contents for found in inner for cell in getattr(found, "__closure__", None) or ()]
        inner += [cell.cell_contents for found in inner for cell in getattr(found, "__closure__", None) or ()]
        assert any(found is held for found in inner)
    elif walk == "garbage collector":
        assert any(found is held for found in gc.get_objects())
    else:
        assert reachable(teacher, nn.Module)


def test_input_gradients__the_graph_leads_to_weights() -> None:
    """A graph through which gradients flow holds what they are multiplied by."""
    held = network()
    signal = teacher_of(held, LEAGUES["input gradients"])(images(gradient=True))
    last = [module for module in held.modules() if isinstance(module, nn.Linear)][-1]
    saved = signal.logits.grad_fn._saved_mat2  # type: ignore[union-attr]
    assert torch.equal(saved.T, last.weight)


def test_teacher__is_small_and_copies_nothing() -> None:
    teacher = teacher_of(network(), LEAGUES["everything"])
    assert isinstance(teacher, Teacher)
    assert not hasattr(teacher, "__dict__")
    signal = teacher(images(), frozenset({"batch_norm"}))
    assert signal.batch_norm[0].running_mean is not None
