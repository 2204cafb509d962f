"""These tests borrow the tiny trainings and servers of their neighbours, whichever are collected first."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.extend(str(Path(__file__).parents[1] / room) for room in ("training", "hub"))
