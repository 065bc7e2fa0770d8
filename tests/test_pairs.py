"""Pairs of architectures, plain and qualified."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dfkdbench.errors import DfkdbenchError, PlanError, UnknownNameError
from dfkdbench.pairs import find_pair
from dfkdbench.registry import Registry

MODEL = """
    from dfkdbench import ModelSpec, hookimpl

    API = 1

    @hookimpl
    def dfkdbench_models():
        return [ModelSpec(name="tiny", target="x:y", summary="Toy.")]
"""


@pytest.fixture
def two_labs(make_distribution: Callable[..., str], registry_of_site: Callable[[], Registry]) -> Registry:
    """Two distributions that claim one name."""
    make_distribution("one-lab", MODEL)
    make_distribution("two-lab", MODEL)
    return registry_of_site()


@pytest.mark.parametrize(
    ("text", "owners"),
    [
        ("lenet_s:lenet_xs", ("dfkdbench", "dfkdbench")),
        ("one-lab:tiny:lenet_xs", ("one-lab", "dfkdbench")),
        ("lenet_s:two-lab:tiny", ("dfkdbench", "two-lab")),
        ("one-lab:tiny:two-lab:tiny", ("one-lab", "two-lab")),
        ("dfkdbench:lenet_s:dfkdbench:lenet_xs", ("dfkdbench", "dfkdbench")),
    ],
)
def test_pair__each_half_may_be_qualified(text: str, owners: tuple[str, str], two_labs: Registry) -> None:
    assert tuple(owned.distribution for owned in find_pair(two_labs, text, ())) == owners


def test_pair__claimed_name_names_both_owners(two_labs: Registry) -> None:
    with pytest.raises(DfkdbenchError, match=r"claimed by one-lab 1\.0 and two-lab 1\.0. Write 'one-lab:tiny'"):
        find_pair(two_labs, "lenet_s:tiny", ())


@pytest.mark.parametrize("text", ["lenet_s", "", "lenet_s:", ":", "a:b:c:d:e"])
def test_pair__text_that_is_none(text: str, registry: Registry) -> None:
    with pytest.raises(PlanError, match="--pair takes TEACHER:STUDENT"):
        find_pair(registry, text, ("lenet_s:lenet_xs",))


def test_pair__unknown_model(registry: Registry) -> None:
    with pytest.raises(UnknownNameError, match="Unknown model 'lenet_q'"):
        find_pair(registry, "lenet_q:lenet_xs", ())
