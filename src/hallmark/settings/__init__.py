"""Settings: one frozen struct per service, read once from a JSON file."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from hallmark.core.errors import InvalidInput

T = TypeVar("T")


def load(path: Path, kind: type[T]) -> T:
    """Read a settings file as `kind`. Raises InvalidInput `bad_settings` naming the member at fault."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise InvalidInput("bad_settings", f"The settings file cannot be read: {error.strerror}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput("bad_settings", f"The settings file is not usable: {error}.") from error


def from_arguments(kind: type[T], arguments: Sequence[str] | None = None) -> T:
    """Settings of a service started as `python -m hallmark.services.<name> --config FILE`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path, required=True)
    return load(parser.parse_args(arguments).config, kind)
