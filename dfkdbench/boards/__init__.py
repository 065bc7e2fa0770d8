"""Boards: folders of entries that anyone can host, check, merge and read.

A board is `leaderboard.toml` (what is measured), `entries/` (a folder a run), `methods/` (what the plain methods are)
and the outputs that `build` makes of these alone.
"""
