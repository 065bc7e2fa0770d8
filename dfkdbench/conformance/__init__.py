"""The conformance kit: what every plugin's parts, methods, models and data sets have to hold, as checks by name.

    dfkdbench plugin check NAME

or in an author's own tests, with nothing to import:

    @pytest.mark.dfkdbench("dfkdbench-mymethod")
    def test_conforms(conformance_check):
        conformance_check()

Importing this package is cheap; torch comes with the first check that needs it.
"""

from __future__ import annotations

from dfkdbench.conformance.catalogue import CHECKS
from dfkdbench.conformance.checks import Check, Outcome
from dfkdbench.conformance.examination import Examination, examinations_of

__all__ = ["CHECKS", "Check", "Examination", "Outcome", "examinations_of"]
