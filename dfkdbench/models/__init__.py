"""Architectures of teachers and students. `specs` describes them without importing torch."""
