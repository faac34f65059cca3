"""Services that stay up: a supervisor in this process, or the way to one that runs already."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from . import _binary, _flowgate
from ._flowgate import Config
from .exceptions import SuperviseError
from .services import (
    Applied,
    ServiceEvent,
    Services,
    ServiceStatus,
    as_document,
    read_applied,
    read_event,
    read_statuses,
)

if TYPE_CHECKING:
    from ._flowgate import _Events, _Supervisor

_Self = TypeVar("_Self", bound="_Opened")
_Path: TypeAlias = str | os.PathLike[str]
#: How long a supervisor that does nothing else may take to answer, in seconds.
_PROMPT = 5.0
#: How often a wait without end looks whether there was a signal, in seconds.
_LOOKS = 0.5


class _Answer:
    """What the native half will say; a thread or a coroutine can wait for it."""

    __slots__ = ("_answered", "_error", "_text", "_wakers")

    def __init__(self) -> None:
        self._answered = threading.Event()
        self._wakers: list[Callable[[], object]] = []
        self._text: str | None = None
        self._error: BaseException | None = None

    def __call__(self, text: str | None, error: BaseException | None) -> None:
        self._text, self._error = text, error
        self._answered.set()
        for wake in list(self._wakers):
            wake()

    def wait(self, timeout: float | None = None) -> Any:
        if timeout is not None:
            self._answered.wait(timeout)
        else:
            # A signal that comes just before the wait begins is only seen when it is over.
            while not self._answered.wait(_LOOKS):
                pass
        return self._value()

    async def wait_async(self) -> Any:
        loop = asyncio.get_running_loop()
        answered = asyncio.Event()

        def wake() -> None:
            # Nobody waits any more in a loop that has ended.
            try:
                loop.call_soon_threadsafe(answered.set)
            except RuntimeError:
                pass

        self._wakers.append(wake)
        try:
            # Looked at after the waker is there, so that no answer falls between.
            if not self._answered.is_set():
                await answered.wait()
        finally:
            self._wakers.remove(wake)
        return self._value()

    def _value(self) -> Any:
        if self._error is not None:
            raise self._error
        return None if self._text is None else json.loads(self._text)


class ServiceEvents:
    """What happens, for ``for`` and ``async for``. It ends with the supervisor.

    Who reads too slowly loses the oldest events and is told how many. A wait that is cancelled, or
    interrupted by Ctrl-C, loses none.
    """

    __slots__ = ("_native", "_next")

    def __init__(self, native: _Events) -> None:
        self._native: _Events | None = native
        self._next: _Answer | None = None

    def __iter__(self) -> ServiceEvents:
        return self

    def __next__(self) -> ServiceEvent:
        answer = self._asked()
        event = None if answer is None else answer.wait()
        self._next = None
        if event is None:
            raise StopIteration
        return read_event(event)

    def __aiter__(self) -> ServiceEvents:
        return self

    async def __anext__(self) -> ServiceEvent:
        answer = self._asked()
        event = None if answer is None else await answer.wait_async()
        self._next = None
        if event is None:
            raise StopAsyncIteration
        return read_event(event)

    def close(self) -> None:
        """Hears no more. Who waits for an event is told that there is none."""
        self._native = None

    def _asked(self) -> _Answer | None:
        if self._next is None and self._native is not None:
            self._next = _Answer()
            self._native.next(self._next)
        return self._next


class _Opened:
    """What a supervisor of this process and one of another have in common."""

    _native: _Supervisor | None = None
    _file: str | None = None
    _finish: Callable[[], object] | None = None

    def _open(self) -> _Supervisor:
        raise NotImplementedError

    def open(self: _Self) -> _Self:
        """Begins, as ``with`` does; :meth:`close` ends."""
        if self._native is None:
            _require_linux()
            native = self._open()
            # At the end of the program, if nobody closed it by then.
            self._finish = weakref.finalize(self, native.close)
            self._native = native
        return self

    @property
    def runtime_dir(self) -> Path:
        """Where the supervisor keeps what it needs."""
        return self._opened().dir

    def log_file(self, service: str) -> Path:
        """The file that the output of a service goes to; older output is in ``….log.1`` and so on."""
        return self._opened().log_file(service)

    def events(self) -> ServiceEvents:
        """What happens from now on, for ``for`` and ``async for``."""
        return ServiceEvents(self._opened().follow())

    def _opened(self) -> _Supervisor:
        if self._native is None:
            raise ValueError("it is not open: use it with `with` or `async with`, or call open()")
        return self._native

    def _ask(self, do: str, timeout: float | None = None, **fields: Any) -> _Answer:
        answer = _Answer()
        self._opened().ask(json.dumps({"do": do, **fields}), timeout, answer)
        return answer

    def _change(self, profile: str | None, dry_run: bool, file: _Path | None) -> _Answer:
        file = self._file if file is None else file
        if file is None:
            raise TypeError("these services came from no configuration file: name one as `file`")
        path = os.path.abspath(os.fspath(file))
        return self._ask("change", file=path, profile=profile, dry_run=dry_run)

    def _closed(self) -> None:
        finish, self._finish, self._native = self._finish, None, None
        if finish is not None:
            finish()


class _Supervising(_Opened):
    """The calls of those who wait."""

    def start(self, *services: str, timeout: float | None = None) -> list[ServiceStatus]:
        """Brings services up, and those they need; all of them, if none is named.

        Returns when each of them is ready, has done its work, or has failed. Raises
        :class:`SuperviseTimeout` if that takes longer than ``timeout`` seconds.
        """
        return read_statuses(self._ask("start", timeout, services=services).wait())

    def stop(self, *services: str, timeout: float | None = None) -> list[ServiceStatus]:
        """Brings services down, those that need others first; returns when they are."""
        return read_statuses(self._ask("stop", timeout, services=services).wait())

    def restart(self, *services: str, timeout: float | None = None) -> list[ServiceStatus]:
        """Replaces the processes of services; returns when the new ones are ready, or have failed."""
        return read_statuses(self._ask("restart", timeout, services=services).wait())

    def status(self, *, timeout: float | None = _PROMPT) -> list[ServiceStatus]:
        """Where every service stands, by name."""
        return read_statuses(self._ask("status", timeout).wait())

    def apply(
        self, profile: str | None = None, *, dry_run: bool = False, file: _Path | None = None
    ) -> Applied:
        """Makes the services be what the configuration file says now, with this profile or with the
        one that is active: all of it, or everything stays as it is.

        With ``dry_run`` only says what that would mean.
        """
        return read_applied(self._change(profile, dry_run, file).wait())

    def shutdown(self, *, force: bool = False) -> None:
        """Asks the supervisor to bring everything down and to end; with ``force`` at once."""
        self._ask("shutdown", _PROMPT, force=force).wait()


class SupervisorClient(_Supervising):
    """A supervisor that runs in another process, such as that of ``flowgate up``.

    ``where`` is its runtime directory, or the configuration that says where that is. For ``with`` and
    ``async with``. Leaving it changes nothing there. Raises :class:`SuperviseError` with the code
    ``"control.not_running"`` if there is none. For a process that was forked, make it anew.
    """

    def __init__(self, where: Config | _Path) -> None:
        if isinstance(where, Config):
            self._file = where.file
            self._where: str = where.resolve().to_dict()["paths"]["runtime_dir"]
        else:
            self._where = os.fspath(where)

    def _open(self) -> _Supervisor:
        return _flowgate._Supervisor.connect(self._where)

    def close(self) -> None:
        """Hangs up."""
        self._closed()

    def __enter__(self) -> SupervisorClient:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> AsyncSupervisor:
        await asyncio.get_running_loop().run_in_executor(None, self.open)
        return AsyncSupervisor(self)

    async def __aexit__(self, *_: object) -> None:
        self.close()


class Supervisor(_Supervising):
    """A supervisor in this process, which keeps services up. Linux only.

    ``services`` are services by name, or a :class:`Config` that has them. ``runtime_dir`` is where
    the supervisor keeps what it needs: who has it, logs, and what is known of each process. A
    configuration says that itself. One supervisor has a directory at a time.

    ::

        with flowgate.Supervisor({"web": ["python3", "-m", "http.server"]}, runtime_dir=".run") as s:
            s.start()
            print(s.status())

    Entering takes over what a supervisor that was killed left running in the same directory, and
    starts nothing else. Leaving brings everything down in order; Ctrl-C there forces it. If the
    program ends without leaving, it happens then. Ctrl-C in a terminal reaches this process alone.

    The processes are held by a small program, ``flowgate``, which comes with this package; ``program``
    names another place. The supervisor has a thread of its own, which never waits for Python. It may
    be used by many threads. After ``os.fork()`` the copy has no part in it: every call there raises
    :class:`SuperviseError` with the code ``"control.forked"``, and the copy keeps the directory locked
    while it lives, so prefer ``spawn``.

    Raises :class:`SuperviseError`: ``"supervise.locked"``, ``"supervise.no_shim"``,
    ``"supervise.unsupported"`` elsewhere than on Linux; and :class:`ConfigError` with everything that
    is wrong with the services.
    """

    def __init__(
        self,
        services: Services | Config,
        *,
        runtime_dir: _Path | None = None,
        program: _Path | None = None,
    ) -> None:
        if isinstance(services, Config):
            if runtime_dir is not None:
                raise TypeError("a configuration has a runtime directory of its own")
            self._file = services.file
        elif not isinstance(services, Mapping):
            raise TypeError("`services` must be a mapping of names to services, or a Config")
        elif runtime_dir is None:
            raise TypeError("`runtime_dir` is missing: a directory that the supervisor keeps")
        self._services = services
        self._runtime_dir = None if runtime_dir is None else os.fspath(runtime_dir)
        self._program = None if program is None else os.fspath(program)
        self._end = _Answer()

    def _open(self) -> _Supervisor:
        program = self._program if self._program is not None else _binary.find()
        if isinstance(self._services, Config):
            native = _flowgate._Supervisor.of_config(self._services, program)
        else:
            assert self._runtime_dir is not None
            services = as_document(self._services)
            native = _flowgate._Supervisor.of_services(services, self._runtime_dir, program)
        self._end = _Answer()
        native.at_end(self._end)
        return native

    def replace(self, services: Services) -> list[ServiceStatus]:
        """Makes the services be these: stops what is not among them, starts what is new, restarts
        what changed so that it has to; returns when that is done."""
        return read_statuses(self._replace(services).wait())

    def wait(self) -> None:
        """Waits until everything is down because somebody asked for it, such as ``flowgate down``."""
        self._end.wait()

    def close(self) -> None:
        """Brings everything down in order, and returns when it is. Ctrl-C meanwhile forces it."""
        native = self._native
        if native is None:
            return
        try:
            self._shut_down(force=False)
            self._end.wait()
        except KeyboardInterrupt:
            self._shut_down(force=True)
            self._end.wait()
            raise
        finally:
            self._closed()

    def _replace(self, services: Services) -> _Answer:
        answer = _Answer()
        self._opened().replace(as_document(services), answer)
        return answer

    def _shut_down(self, *, force: bool) -> None:
        try:
            self._ask("shutdown", _PROMPT, force=force)
        except SuperviseError as error:
            if error.code == "control.forked":
                self._end(None, None)

    def __enter__(self) -> Supervisor:
        return self.open()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> AsyncSupervisor:
        # Short, but it looks at files and starts a program.
        await asyncio.get_running_loop().run_in_executor(None, self.open)
        return AsyncSupervisor(self)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._native is None:
            return
        self._shut_down(force=False)
        try:
            await self._end.wait_async()
        except asyncio.CancelledError:
            self._shut_down(force=True)
            raise
        finally:
            self._closed()


class AsyncSupervisor:
    """A supervisor, as ``async with`` gives it: the calls are awaited."""

    __slots__ = ("_of",)

    def __init__(self, of: Supervisor | SupervisorClient) -> None:
        self._of = of

    @property
    def runtime_dir(self) -> Path:
        """Where the supervisor keeps what it needs."""
        return self._of.runtime_dir

    def log_file(self, service: str) -> Path:
        """See :meth:`Supervisor.log_file`."""
        return self._of.log_file(service)

    def events(self) -> ServiceEvents:
        """What happens from now on, for ``async for``."""
        return self._of.events()

    async def start(self, *services: str, timeout: float | None = None) -> list[ServiceStatus]:
        """See :meth:`Supervisor.start`. Giving up the wait leaves the services on their way."""
        return read_statuses(await self._of._ask("start", timeout, services=services).wait_async())

    async def stop(self, *services: str, timeout: float | None = None) -> list[ServiceStatus]:
        """See :meth:`Supervisor.stop`."""
        return read_statuses(await self._of._ask("stop", timeout, services=services).wait_async())

    async def restart(self, *services: str, timeout: float | None = None) -> list[ServiceStatus]:
        """See :meth:`Supervisor.restart`."""
        return read_statuses(await self._of._ask("restart", timeout, services=services).wait_async())

    async def status(self, *, timeout: float | None = _PROMPT) -> list[ServiceStatus]:
        """See :meth:`Supervisor.status`."""
        return read_statuses(await self._of._ask("status", timeout).wait_async())

    async def apply(
        self, profile: str | None = None, *, dry_run: bool = False, file: _Path | None = None
    ) -> Applied:
        """See :meth:`Supervisor.apply`."""
        return read_applied(await self._of._change(profile, dry_run, file).wait_async())

    async def replace(self, services: Services) -> list[ServiceStatus]:
        """See :meth:`Supervisor.replace`. Only for a supervisor of this process."""
        if not isinstance(self._of, Supervisor):
            raise TypeError("the supervisor of another process takes a configuration file: apply()")
        return read_statuses(await self._of._replace(services).wait_async())

    async def shutdown(self, *, force: bool = False) -> None:
        """See :meth:`Supervisor.shutdown`."""
        await self._of._ask("shutdown", _PROMPT, force=force).wait_async()

    async def wait(self) -> None:
        """See :meth:`Supervisor.wait`. Only for a supervisor of this process."""
        if not isinstance(self._of, Supervisor):
            raise TypeError("wait for the end of its events() instead")
        await self._of._end.wait_async()


def _require_linux() -> None:
    if sys.platform != "linux":
        raise SuperviseError(
            f"services are supervised on Linux alone, and this is {sys.platform}; "
            "run the program in a Linux container or in WSL 2",
            "supervise.unsupported",
        )
