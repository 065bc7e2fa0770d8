"""Built-in combiners of image losses."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from dfkdbench.errors import PlanError
from dfkdbench.recipe import Options
from dfkdbench.seams import Setting, Stateless


class SumCombiner(Stateless):
    """The weighted sum of the losses."""

    def __init__(self, options: Options, setting: Setting) -> None:
        pass

    def __call__(self, terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
        """The sum of weight times loss.

        Raises:
            PlanError: There is no loss to sum.
        """
        if not terms:
            raise PlanError("A generator step needs at least one image loss. List them with: dfkdbench list losses")
        first, *others = (weights[name] * term for name, term in terms.items())
        return sum(others, first)
