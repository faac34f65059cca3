"""Exceptions raised by flowgate.

They live in Python so that they can be subclassed, pickled and type-checked like any other; the
native module imports them when it has something to raise.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .values import Diagnostic


class FlowgateError(Exception):
    """Anything that flowgate cannot do.

    ``code`` is a stable name such as ``"config.invalid"``, the same in every language;
    ``diagnostics`` are the problems of the document, if it is at fault.
    """

    code: str
    diagnostics: list[Diagnostic]

    def __init__(self, message: str, code: str, diagnostics: Iterable[Diagnostic] = ()) -> None:
        # Only the message: OSError would take further arguments for its own.
        super().__init__(message)
        self.code = code
        self.diagnostics = list(diagnostics)

    def __str__(self) -> str:
        return str(self.args[0])

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.code), self.__dict__


class ConfigError(FlowgateError, ValueError):
    """The configuration has mistakes; ``diagnostics`` has each, and ``str`` says them all."""


class ProfileError(FlowgateError, LookupError):
    """There is no such profile, or a secret that it needs could not be had."""


class FileError(FlowgateError, OSError):
    """A file could not be read or written; ``filename`` says which."""

    def __init__(
        self,
        message: str,
        code: str,
        diagnostics: Iterable[Diagnostic] = (),
        filename: str | None = None,
    ) -> None:
        super().__init__(message, code, diagnostics)
        self.filename = filename

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.code, (), self.filename), self.__dict__
