"""The scripts of models/, as modules."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

MODELS = Path(__file__).parents[3] / "models"


def model_script(name: str, folder: str = ".") -> ModuleType:
    """A script of models/, or of a `folder` there, imported as it runs: its siblings stand beside it."""
    before = sys.path.copy()
    sys.path.insert(0, str((MODELS / folder).resolve()))
    try:
        return importlib.import_module(name)
    finally:
        sys.path[:] = before
