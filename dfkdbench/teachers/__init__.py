"""Pinned teachers, on the judge's side: cards, bundles, the store, training and import.

`card` and `store` import no torch.
"""
