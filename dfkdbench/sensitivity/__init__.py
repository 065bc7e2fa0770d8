"""How much a method's accuracy depends on its loss weights and learning rates, one at a time around its preset.

Here is what plans such a study and what reads its records; the runs themselves are ordinary runs. Needs no torch.
"""
