"""Finds the teacher of a cell, and trains it by the open recipe where there is none yet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dfkdbench.descriptors import DatasetSpec, ModelSpec
from dfkdbench.errors import PlanError
from dfkdbench.registry import Owned
from dfkdbench.teachers.card import TeacherBundle, teacher_name
from dfkdbench.teachers.store import TeacherStore
