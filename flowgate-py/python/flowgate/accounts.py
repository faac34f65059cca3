"""Leases of accounts: who sends the next request, how it went, and when to try again."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict, TypeVar

from ._flowgate import ClassifyRules, Config, PoolVerdict, _Pool, _Refresh, _Retries
from .exceptions import NoAccount

_Headers: TypeAlias = Mapping[Any, Any] | Iterable[tuple[str | bytes, str | bytes]]
if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

    _Transport: TypeAlias = Literal["cancelled", "connect", "eof", "reset", "timeout"]

_T = TypeVar("_T")

#: How often those who wait look whether anybody still does, in seconds.
_WATCH = 0.1
#: How many strict choices are under way at a time.
_CHOICES = 8
#: The pause after which somebody who waits looks again, whatever was promised.
_LONGEST_PAUSE = 60.0


class _Required(TypedDict):
    id: str


class Account(_Required, total=False):
    """An account, as a pool is told of it. It holds no secret: find the credential by the id.

    ``provider`` names those that are overloaded together and whose answers are alike (``"openai"``,
    ``"anthropic"`` …); accounts of a lower ``tier`` serve first, ``weight`` is the share beside the
    others of its tier (default 1), ``max_inflight`` says how many requests may be under way,
    ``models`` which ones it serves (default: all), ``group`` whose quota it shares, ``enabled``
    whether it may serve, and ``revision`` changes with its credential.
    """

    provider: str
    tier: int
    weight: int
    max_inflight: int | None
    models: list[str]
    group: str | None
    enabled: bool
    revision: int


@dataclass(frozen=True, slots=True)
class Left:
    """What is left of a quota: ``level`` of ``limit``."""

    level: float
    limit: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """An account, seen by a request: whether it could serve, and if not, why and until when.

    ``until`` is in milliseconds since 1970, ``pressure`` about 0 for a fresh account and about 1 for
    a used up one; ``guessed`` says that the quota was learned from refusals.
    """

    id: str
    tier: int
    standing: Literal["eligible", "probe", "waiting", "busy", "excluded"]
    lifecycle: Literal["active", "needs_refresh", "dead"]
    warm: bool
    pressure: float
    inflight: int
    guessed: bool
    why: str | None = None
    until: int | None = None
    class_: str | None = None
    max_inflight: int | None = None
    requests: Left | None = None
    tokens: Left | None = None


@dataclass(frozen=True, slots=True)
class SharedStatus:
    """How sharing a pool with other processes goes.

    ``state`` is ``"connecting"``, ``"shared"``, or ``"degraded"`` while the server does not answer:
    then this process goes on with what it knows, and ``error`` says why. ``since`` is in milliseconds
    since 1970. What one process learns the others know after about ``round_trip_us`` microseconds.
    ``ignored`` counts what came from the server and made no sense.
    """

    pool: str
    mode: Literal["local", "strict"]
    state: Literal["connecting", "shared", "degraded"]
    since: int
    ignored: int
    error: str | None = None
    round_trip_us: int | None = None


class Pool(_Pool):
    """Which account serves the next request. May be used by many threads and event loops.

    ``accounts`` describes the accounts, as :class:`Account` says; ``settings`` are those of
    ``flowgate_core::accounts::Settings``, such as ``{"strategy": "least_inflight"}``; ``rules`` know
    better than the tables what an answer means; ``state`` is what :meth:`snapshot` returned before.
    Raises :class:`AccountsError` if one of them cannot be used.
    """

    __slots__ = ("_executor", "_lock", "_waiters", "_watched")
    _waiters: dict[object, Callable[[], object]]
    #: Who asks the server where that takes a moment and an event loop must not wait.
    _executor: ThreadPoolExecutor | None
    _lock: threading.Lock
    #: Whether a thread looks what other processes say.
    _watched: bool

    def __new__(
        cls,
        accounts: Iterable[Account | Mapping[str, Any]] = (),
        *,
        settings: Mapping[str, Any] | None = None,
        rules: ClassifyRules | None = None,
        state: str | None = None,
    ) -> Pool:
        return cls._made(super().__new__(cls, list(accounts), settings, rules, state))

    @classmethod
    def from_config(cls, config: Config, *, state: str | None = None) -> Pool:
        """A pool of the accounts in the section ``accounts`` of a configuration, with its settings.

        Where the section has ``shared``, the pool shares what it learns with the processes that use
        the same one: in the background, without waiting for the server. :attr:`shared` says how that
        goes. Find the credential of an account by its id each time: another process may have
        refreshed it. ``state`` is what :meth:`snapshot` returned before.

        Raises :class:`AccountsError` if ``state`` cannot be used, or the password of the server
        cannot be had.
        """
        return cls._made(super().__new__(cls, [], None, None, state, config))

    @staticmethod
    def _made(pool: Pool) -> Pool:
        pool._waiters = {}
        pool._executor = None
        pool._lock = threading.Lock()
        pool._watched = False
        return pool

    @property
    def shared(self) -> SharedStatus | None:
        """How sharing with other processes goes; ``None`` if the pool is not shared."""
        status = self._status()
        return None if status is None else SharedStatus(**status)

    def settled(self) -> SharedStatus | None:
        """Waits until the server of a shared pool was reached, or found to be away, and says which.

        No lease needs this: a pool decides alone until then.
        """
        self._settle()
        return self.shared

    def lease(
        self,
        *,
        model: str = "",
        session: str | None = None,
        tokens: int = 0,
        timeout: float | None = 30.0,
    ) -> Lease:
        """The right to send one request with one account, for ``with`` or ``async with``.

        ``session`` names a conversation, which stays with its account as long as that can serve;
        ``tokens`` is about how many the request will take. Entering waits for an account for at most
        ``timeout`` seconds (``None``: for ever), and raises :class:`NoAccount` if none can serve
        until then.
        """
        return Lease(self, model, session, tokens, timeout)

    def attempts(
        self,
        *,
        model: str = "",
        session: str | None = None,
        tokens: int = 0,
        timeout: float | None = 30.0,
        refresh: Callable[[str], Any] | None = None,
    ) -> Attempts:
        """Leases for one request, one after another, until it is served or trying again is of no use.

        For ``for`` or ``async for``; each lease is entered with ``with`` in the body, and reported
        there. An exception that came from the network is reported by itself, and swallowed if there
        is another attempt. ``timeout`` is for all attempts together. ``refresh`` is called with the
        id of an account whose credential was refused, by one caller at a time, and answers whether
        there is a new one; in ``async for`` it may be a coroutine function. The arguments are those
        of :meth:`lease` else.
        """
        return Attempts(self, model, session, tokens, timeout, refresh)

    def explain(
        self, *, model: str = "", session: str | None = None, tokens: int = 0
    ) -> list[Candidate]:
        """Says of every account whether it could serve a request, and if not, why and until when."""
        return [_candidate(fields) for fields in self._explain(model, session, tokens)]

    def drain_events(self) -> list[dict[str, Any]]:
        """What happened since the last call, oldest first; at most the last 1,024 events are kept.

        Each has ``at`` (milliseconds since 1970), ``event`` (such as ``"cooled"``) and what it is
        about: ``account``, ``model``, ``class``, ``until`` …
        """
        events: list[dict[str, Any]] = self._drain_events()
        return events

    def _wake(self) -> None:
        for wake in list(self._waiters.values()):
            wake()

    @contextmanager
    def _waiting(self, wake: Callable[[], object]) -> Iterator[None]:
        key = object()
        self._waiters[key] = wake
        if self._is_shared:
            self._watch()
        try:
            yield
        finally:
            del self._waiters[key]

    def _watch(self) -> None:
        """Has a thread wake those who wait when another process says something."""
        with self._lock:
            if not self._watched:
                self._watched = True
                threading.Thread(target=self._listen, name="flowgate-waiters").start()

    def _listen(self) -> None:
        seen = self._changed(0, 0.0)
        while self._is_awaited():
            last = self._changed(seen, _WATCH)
            if last != seen:
                seen = last
                self._wake()

    def _is_awaited(self) -> bool:
        """Whether somebody waits. An interpreter that ends waits for this thread, and for no other."""
        with self._lock:
            self._watched = bool(self._waiters) and threading.main_thread().is_alive()
            return self._watched

    async def _elsewhere(self, undo: Callable[[_T], object], do: Callable[..., _T], *args: Any) -> _T:
        """Calls something that asks the server, in another thread; undone if nobody waits for it."""
        # Imported where it is needed: few programs share a pool.
        from concurrent.futures import ThreadPoolExecutor

        with self._lock:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(_CHOICES, "flowgate-shared")
            asked = self._executor.submit(do, *args)
        try:
            return await asyncio.wrap_future(asked)
        except asyncio.CancelledError:

            def over(asked: Future[_T]) -> None:
                if not asked.cancelled() and asked.exception() is None:
                    undo(asked.result())

            asked.add_done_callback(over)
            raise

    def _unpick(self, answer: tuple[Any, ...]) -> None:
        if answer[0] is not None:
            self._report(answer[0], None, None, None, "cancelled", None)

    def _unrefresh(self, lease: _Refresh | None) -> None:
        if lease is not None:
            self._refresh_end(lease, "failed")


class Lease:
    """The right to send one request with one account, and the duty to say how it went.

    Left without a report, it says nothing about the account; left by an exception that comes from
    the network, it reports that.
    """

    __slots__ = (
        "_attempts",
        "_pool",
        "_request",
        "_timeout",
        "_permit",
        "account",
        "verdict",
    )

    #: The account: find its credential by this id. Empty before the lease is entered.
    account: str
    #: What the pool made of the answer, once it was reported.
    verdict: PoolVerdict | None

    def __init__(
        self,
        pool: Pool,
        model: str,
        session: str | None,
        tokens: int,
        timeout: float | None,
        attempts: Attempts | None = None,
    ) -> None:
        self._pool = pool
        self._request = (model, session, tokens)
        self._timeout = timeout
        self._attempts = attempts
        self._permit: int | None = None
        self.account = ""
        self.verdict = None

    def report(
        self,
        status: int | None = None,
        headers: _Headers | None = None,
        body: str | bytes | None = None,
        *,
        transport: _Transport | None = None,
        tokens: int | None = None,
    ) -> PoolVerdict:
        """Says how the request went: its status, headers and body, or how it ended without.

        ``tokens`` is how many it really took. Only the first report counts. The other arguments are
        those of :func:`classify`.
        """
        if self._permit is None:
            raise RuntimeError("the lease was not entered, or was reported before")
        verdict = self._pool._report(self._permit, status, headers, body, transport, tokens)
        self._permit = None
        self.verdict = verdict
        if self._attempts is not None:
            self._attempts._reported(verdict)
        if self._pool._waiters:
            self._pool._wake()
        return verdict

    def on_headers(self, status: int, headers: _Headers | None = None) -> None:
        """Says what the first bytes of an answer say, while its end may be minutes away."""
        if self._permit is not None:
            self._pool._headers(self._permit, status, headers)

    def __enter__(self) -> Lease:
        # Here, and not in a function: this is what every request does.
        if self._permit is None:
            retries = None if self._attempts is None else self._attempts._retries
            answer = self._pool._pick(*self._request, retries, None)
            if answer[0] is None:
                self._wait()
            else:
                self._permit, self.account = answer
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if self._permit is None:
            return False
        transport = "cancelled" if error is None else _transport(error)
        self.report(transport=transport)
        if error is None or self._attempts is None or transport == "cancelled":
            return False
        return self._attempts._goes_on(error)

    async def __aenter__(self) -> Lease:
        if self._pool._is_strict:
            taken = self._permit is not None or self._picked(await self._pick_async(None))
        else:
            taken = self._try()
        if not taken:
            await self._wait_async()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        return self.__exit__(kind, error, traceback)

    def _try(self) -> bool:
        """Takes an account, if one can serve now."""
        return self._permit is not None or self._picked(self._pick(None))

    def _pick(self, since: int | None) -> tuple[Any, ...]:
        retries = None if self._attempts is None else self._attempts._retries
        return self._pool._pick(*self._request, retries, since)

    async def _pick_async(self, since: int | None) -> tuple[Any, ...]:
        pool = self._pool
        if not pool._is_strict:
            return self._pick(since)
        return await pool._elsewhere(pool._unpick, self._pick, since)

    def _picked(self, answer: tuple[Any, ...]) -> bool:
        if answer[0] is None:
            return False
        self._permit, self.account = answer
        return True

    def _wait(self) -> None:
        waiter = threading.Event()
        patience = _Patience(self._timeout)
        with self._pool._waiting(waiter.set):
            while not self._picked(answer := self._pick(patience.since)):
                waiter.wait(patience.pause(answer))
                waiter.clear()

    async def _wait_async(self) -> None:
        loop = asyncio.get_running_loop()
        waiter = asyncio.Event()
        patience = _Patience(self._timeout)

        def wake() -> None:
            # A report may come from another thread, and after the loop has ended.
            if not loop.is_closed():
                loop.call_soon_threadsafe(waiter.set)

        with self._pool._waiting(wake):
            while not self._picked(answer := await self._pick_async(patience.since)):
                try:
                    await asyncio.wait_for(waiter.wait(), patience.pause(answer))
                except (TimeoutError, asyncio.TimeoutError):
                    pass
                waiter.clear()


class _Patience:
    """How long somebody waits for an account."""

    __slots__ = ("_end", "since")

    def __init__(self, timeout: float | None) -> None:
        self._end = None if timeout is None else time.monotonic() + timeout
        self.since = _now()

    def pause(self, answer: tuple[Any, ...]) -> float:
        """How long to wait before asking again, in seconds; raises if that is of no use."""
        _, until, why = answer
        left = None if self._end is None else self._end - time.monotonic()
        pause: float | None = None if until is None else max(until - _now(), 0) / 1000
        # A report may free an account sooner than it is promised, but ends no cooldown.
        hopeless = left is not None and pause is not None and pause > left
        if pause is None or (left is not None and left <= 0):
            raise NoAccount(why, until)
        if hopeless and why not in ("concurrency", "probe", "affinity"):
            raise NoAccount(why, until)
        return min(pause, _LONGEST_PAUSE if left is None else left, _LONGEST_PAUSE)


class Attempts:
    """Leases for one request, one after another; :meth:`Pool.attempts` makes them."""

    __slots__ = ("_arguments", "_deadline", "_error", "_pool", "_refresh", "_retries", "_step")

    def __init__(
        self,
        pool: Pool,
        model: str,
        session: str | None,
        tokens: int,
        timeout: float | None,
        refresh: Callable[[str], Any] | None,
    ) -> None:
        self._pool = pool
        self._arguments = (model, session, tokens)
        self._refresh = refresh
        self._deadline = None if timeout is None else time.monotonic() + timeout
        now = _now()
        self._retries = _Retries(now, None if timeout is None else now + int(timeout * 1000))
        #: What comes after the last lease; nothing was decided yet.
        self._step: int | str | None = None
        #: The exception that the last lease ended with.
        self._error: BaseException | None = None

    def __iter__(self) -> Iterator[Lease]:
        while (lease := self._lease()) is not None:
            try:
                lease.__enter__()
            except NoAccount as none:
                self._nobody(none)
                return
            try:
                yield lease
            finally:
                lease.__exit__(None, None, None)
            if self._step == "refresh" and self._refresh is not None:
                with _Refreshing(self._pool, lease.account) as refreshing:
                    if refreshing.is_mine:
                        refreshing.done = bool(self._refresh(lease.account))
            elif isinstance(self._step, int):
                time.sleep(max(self._step - _now(), 0) / 1000)

    async def __aiter__(self) -> AsyncIterator[Lease]:
        while (lease := self._lease()) is not None:
            try:
                await lease.__aenter__()
            except NoAccount as none:
                self._nobody(none)
                return
            try:
                yield lease
            finally:
                lease.__exit__(None, None, None)
            if self._step == "refresh" and self._refresh is not None:
                async with _Refreshing(self._pool, lease.account) as refreshing:
                    if refreshing.is_mine:
                        answer = self._refresh(lease.account)
                        answer = await answer if inspect.isawaitable(answer) else answer
                        refreshing.done = bool(answer)
            elif isinstance(self._step, int):
                await asyncio.sleep(max(self._step - _now(), 0) / 1000)

    def _lease(self) -> Lease | None:
        """The next lease, unless the last one says that trying again is of no use."""
        if self._step == "stop":
            return None
        left = None if self._deadline is None else max(self._deadline - time.monotonic(), 0.0)
        return Lease(self._pool, *self._arguments, left, self)

    def _reported(self, verdict: PoolVerdict) -> None:
        self._error = None
        self._step = self._pool._next(verdict, self._retries)

    def _goes_on(self, error: BaseException) -> bool:
        """Whether there is another attempt after an exception, which was reported."""
        self._error = error
        return self._step != "stop"

    def _nobody(self, none: NoAccount) -> None:
        """Nobody can serve any more: the caller has the last answer, or gets the last exception."""
        if self._error is not None:
            raise self._error
        if self._step is None:
            raise none


class _Refreshing:
    """Refreshes a credential, unless somebody else does; what is not done has failed."""

    __slots__ = ("_account", "_lease", "_pool", "done")

    def __init__(self, pool: Pool, account: str) -> None:
        self._pool = pool
        self._account = account
        self._lease: _Refresh | None = None
        self.done = False

    @property
    def is_mine(self) -> bool:
        return self._lease is not None

    def __enter__(self) -> _Refreshing:
        self._lease = self._pool._refresh_begin(self._account)
        return self

    def __exit__(self, *_: object) -> None:
        if self._lease is not None:
            self._pool._refresh_end(self._lease, self._how())
            self._pool._wake()

    async def __aenter__(self) -> _Refreshing:
        pool = self._pool
        if not pool._is_shared:
            return self.__enter__()
        begin = pool._refresh_begin
        self._lease = await pool._elsewhere(pool._unrefresh, begin, self._account)
        return self

    async def __aexit__(self, *_: object) -> None:
        pool = self._pool
        if not pool._is_shared or self._lease is None:
            return self.__exit__()
        # It ends, whether anybody waits for that or not.
        await pool._elsewhere(_nothing, pool._refresh_end, self._lease, self._how())
        pool._wake()

    def _how(self) -> str:
        return "done" if self.done else "failed"


def _nothing(_: object) -> None:
    pass


def _now() -> int:
    return time.time_ns() // 1_000_000


def _transport(error: BaseException) -> _Transport:
    """What an exception of an HTTP client says about the exchange; nothing, if it is none of these.

    The clients have no exceptions in common, but their names: httpx, requests, aiohttp, urllib3.
    """
    names = {base.__name__ for base in type(error).__mro__}
    for transport, known in _TRANSPORTS.items():
        if names & known:
            return transport
    return "cancelled"


#: In this order, since many a timeout is a failure to connect too.
_TRANSPORTS: dict[_Transport, set[str]] = {
    "timeout": {"TimeoutError", "TimeoutException", "Timeout", "ServerTimeoutError"},
    "reset": {"ConnectionResetError", "ConnectionAbortedError", "BrokenPipeError", "WriteError"},
    "eof": {
        "ChunkedEncodingError",
        "ClientPayloadError",
        "IncompleteRead",
        "ProtocolError",
        "ReadError",
        "RemoteDisconnected",
        "RemoteProtocolError",
        "ServerDisconnectedError",
    },
    "connect": {"ClientConnectorError", "ConnectError", "ConnectionError", "URLError", "gaierror"},
}


def _candidate(fields: dict[str, Any]) -> Candidate:
    del fields["slot"]
    fields["class_"] = fields.pop("class", None)
    for quota in ("requests", "tokens"):
        if quota in fields:
            fields[quota] = Left(**fields[quota])
    return Candidate(**fields)
