"""Data sets, on the judge's side only: the sealed worker never loads one.

`specs` describes them without importing torch; `vision`, `folders` and `digits` hold the loaders;
`images` holds what a loader gives.
"""
