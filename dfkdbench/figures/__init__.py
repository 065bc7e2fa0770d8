"""Figures beside accuracy, each with its formula. For the judge's side only.

`docs/metrics.md` says what each can't tell.
"""
