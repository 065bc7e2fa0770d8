"""Neutral parts that several methods use. They register through the same hooks as everyone's (see `specs`)."""
