"""The guard, as it stands before commands that Python runs."""

from __future__ import annotations

import functools
import inspect
import os
import shlex
import subprocess
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

from ._flowgate import _Guard
from .exceptions import Denied

P = ParamSpec("P")
R = TypeVar("R")


class Guard(_Guard):
    """Decides whether a shell command may run. Never changes, and may be used by many threads.

    ``policy`` is what stands under ``guard`` in a configuration, and ``packs`` the texts of packs
    of one's own. The files that ``pack_files`` of the policy names are read once, relative to the
    current directory; ``audit`` is refused, for only the hook writes that log.
    Raises :class:`GuardError` for a policy or a pack that cannot be used.
    """

    __slots__ = ()

    def run(
        self, command: str | Sequence[str | os.PathLike[str]], **options: Any
    ) -> subprocess.CompletedProcess[Any]:
        """Runs a command, if it may: a text in the shell, a sequence without one.

        ``options`` are those of :func:`subprocess.run`, but for ``shell``. What the command reads
        from standard input is not looked at. Raises :class:`Denied` if the guard denies the
        command or wants a person to decide; nothing has run then.
        """
        executable = options.get("executable")
        if executable is None:
            text = _text(command)
        elif isinstance(command, str):
            text = _text([executable, "-c", command])
        else:
            text = _text([executable, *command[1:]])
        cwd, env = options.get("cwd"), options.get("env") or {}
        self._require(text, None if cwd is None else os.fsdecode(cwd), env.get("HOME"))
        return subprocess.run(command, shell=isinstance(command, str), **options)

    def protect(self, function: Callable[P, R]) -> Callable[P, R]:
        """Decorates a function whose first argument is a command, a text or a sequence of words.

        The function is called only if the command may run; otherwise :class:`Denied` is raised.
        """
        first = next(iter(inspect.signature(function).parameters), "")

        def require(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            command = args[0] if args else kwargs.get(first)
            if not isinstance(command, (str, list, tuple)):
                raise TypeError("the first argument must be a command: a text or a list of words")
            self._require(_text(command))

        @functools.wraps(function)
        def protected(*args: P.args, **kwargs: P.kwargs) -> R:
            require(args, kwargs)
            return function(*args, **kwargs)

        if not inspect.iscoroutinefunction(function):
            return protected

        @functools.wraps(function)
        async def awaited(*args: P.args, **kwargs: P.kwargs) -> Any:
            require(args, kwargs)
            return await function(*args, **kwargs)

        return awaited  # type: ignore[return-value]

    def _require(self, command: str, cwd: str | None = None, home: str | None = None) -> None:
        verdict = self.check(command, cwd=cwd, home=home)
        if not verdict:
            raise Denied(verdict, command)


def _text(command: str | Sequence[str | os.PathLike[str]]) -> str:
    """The command as a shell would read it."""
    if isinstance(command, str):
        return command
    return shlex.join(os.fsdecode(word) for word in command)
