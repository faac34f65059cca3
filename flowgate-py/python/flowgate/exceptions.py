"""Exceptions raised by flowgate.

They live in Python so that they can be subclassed, pickled and type-checked like any other; the
native module imports them when it has something to raise.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from ._flowgate import Verdict
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


class GuardError(FlowgateError, ValueError):
    """A policy or a pack of the guard cannot be used; ``str`` says all that is wrong with it."""


class Denied(FlowgateError, PermissionError):
    """A command was not run, for the guard denies it or wants a person to decide.

    ``verdict`` says why, and ``command`` is the text that it is about.
    """

    verdict: Verdict
    command: str

    def __init__(self, verdict: Verdict, command: str) -> None:
        what = "needs approval" if verdict.decision == "ask" else "denied"
        why = "" if verdict.rule is None else f" by {verdict.rule}: {verdict.reason}"
        super().__init__(f"{what}{why}", "guard.denied")
        self.verdict = verdict
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.verdict, self.command), self.__dict__


class AccountsError(FlowgateError, ValueError):
    """A pool cannot be made: an account, a setting, a rule or a snapshot is not right."""


class NoAccount(FlowgateError, LookupError):
    """No account can serve a request in time.

    ``why`` is a word such as ``"cooldown"``, ``"budget"``, ``"concurrency"`` or ``"empty"``; ``until``
    is when one can, in milliseconds since 1970, if nothing else happens; ``None``: never.
    """

    why: str
    until: int | None

    def __init__(self, why: str, until: int | None = None) -> None:
        super().__init__(f"no account can serve: {why}", "accounts.none")
        self.why = why
        self.until = until

    @property
    def retry_after(self) -> float | None:
        """How long until one can, in seconds."""
        return None if self.until is None else max(self.until / 1000 - time.time(), 0.0)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.why, self.until), self.__dict__


class SuperviseError(FlowgateError, RuntimeError):
    """A supervisor cannot be started or asked: ``"supervise.locked"``, ``"control.not_running"`` …"""


class SuperviseTimeout(SuperviseError, TimeoutError):
    """A supervisor did not answer in time: ``"control.timeout"``. What was asked goes on."""
