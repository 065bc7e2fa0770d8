"""Losses that are punished exponentially for rising over a reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from dfkdbench.errors import PlanError, nearest
from dfkdbench.seams import Setting
from dfkdbench_rdskd.options import ExponentialIncrementOptions


class ExponentialIncrementCombiner:
    """sum_i w_i exp(L_i - r_i) over the chosen terms, plus the weighted sum of the others.

    RDSKD (Han et al., ICASSP 2021), after its official code: the references r start at `init` and are replaced
    once per `period` steps by the losses of the batch of step `phase`, after that batch's own sum was formed with
    the old ones. A term weighs 1 at its reference, less below it, exponentially more above it; at a refresh
    the sum jumps back to about the number of terms. Counter and references live on the device, so that a step has no
    branch that depends on them.

    Args:
        options: Terms and reference policy.
        setting: The device.

    Raises:
        PlanError: `phase` is not within `period`.
    """

    def __init__(self, options: ExponentialIncrementOptions, setting: Setting) -> None:
        if options.phase >= options.period:
            raise PlanError(
                f"The combiner exponential_increment counts phase from 0 within period: phase {options.phase} "
                f"is never reached with period {options.period}. Use a phase from 0 to {options.period - 1}."
            )
        self._period = options.period
        self._phase = options.phase
        self._steps = torch.zeros((), dtype=torch.int64, device=setting.device)
        self._references = {name: torch.full((), options.init, device=setting.device) for name in options.terms}

    def __call__(self, terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
        """The scalar to minimise.

        Raises:
            PlanError: A loss that should enter through the exponential is not active.
        """
        self._check_terms(terms)
        total = torch.stack([self._entry(name, term) * weights[name] for name, term in terms.items()]).sum()
        self._refresh(terms)
        return total

    def state_dict(self) -> dict[str, Any]:
        """Steps counted and references."""
        return {"steps": self._steps, "references": dict(self._references)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave, in place."""
        self._steps.copy_(state["steps"])
        for name, reference in self._references.items():
            reference.copy_(state["references"][name])

    def _entry(self, name: str, term: Tensor) -> Tensor:
        reference = self._references.get(name)
        return term if reference is None else (term - reference).exp()

    @torch.no_grad()
    def _refresh(self, terms: Mapping[str, Tensor]) -> None:
        due = self._steps % self._period == self._phase
        for name, reference in self._references.items():
            reference.copy_(torch.where(due, terms[name].detach(), reference))
        self._steps.add_(1)

    def _check_terms(self, active: Mapping[str, Tensor]) -> None:
        for name in self._references:
            if name not in active:
                raise PlanError(
                    f"The combiner exponential_increment is to punish increments of '{name}', which is no active image "
                    f"loss here.{nearest(name, active)} Active: {', '.join(sorted(active))}. "
                    "Choose among them with combiner.terms."
                )
