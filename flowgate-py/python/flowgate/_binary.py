"""Finds the program ``flowgate``, which comes with this package."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from .exceptions import FlowgateError

NAME = "flowgate.exe" if os.name == "nt" else "flowgate"


def find() -> str:
    """The absolute path of the program ``flowgate``.

    It is the one that ``$FLOWGATE_BINARY`` names, or else the one that was installed with this
    package, or else the first in ``$PATH``. Raises :class:`flowgate.FlowgateError` with the code
    ``"binary.missing"`` if there is none.
    """
    named = os.environ.get("FLOWGATE_BINARY")
    if named:
        if os.access(named, os.X_OK):
            return os.path.abspath(named)
        raise FlowgateError(f"FLOWGATE_BINARY is not a program: {named}", "binary.missing")
    places = [directory / NAME for directory in _script_directories()]
    for place in places:
        if os.access(place, os.X_OK):
            return str(place)
    on_path = shutil.which(NAME)
    if on_path is not None:
        return os.path.abspath(on_path)
    tried = "".join(f"\n  {place}" for place in places)
    raise FlowgateError(
        f"the program `flowgate` is not installed; tried $PATH and:{tried}\n"
        "install the package again, or name the program in FLOWGATE_BINARY",
        "binary.missing",
    )


def _script_directories() -> Iterator[Path]:
    """Where installers put scripts: for the environment, for the user, and for ``--target``."""
    yield Path(sysconfig.get_path("scripts"))
    yield Path(sysconfig.get_path("scripts", sysconfig.get_preferred_scheme("user")))
    package = Path(__file__).resolve().parent
    yield package.parent / "bin"
    if sys.prefix != sys.base_prefix:
        yield Path(sys.prefix) / ("Scripts" if os.name == "nt" else "bin")
