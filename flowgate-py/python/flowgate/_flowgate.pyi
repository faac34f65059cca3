"""Native half of the `flowgate` package."""

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, final

from typing_extensions import Self, disjoint_base

from .values import Activation, Change, Diagnostic, Merge, Migration, Origin, PackInfo, State

__all__ = [
    "STARTER",
    "Classification",
    "ClassifyRules",
    "Config",
    "PoolVerdict",
    "Profile",
    "Verdict",
    "_Guard",
    "_Pool",
    "_Refresh",
    "_Retries",
    "__version__",
    "_describe",
    "activate",
    "active_profile",
    "classify",
    "json_schema",
    "merge",
    "migrate",
    "resolve_path",
]

if sys.platform == "linux":
    __all__ += ["_Events", "_Supervisor"]

STARTER: Final[str]
__version__: Final[str]

@final
class Config:
    """A checked configuration. Never changes, and may be used by many threads."""

    @staticmethod
    def load(path: str | os.PathLike[str]) -> Config:
        """Reads a configuration file.

        Raises :class:`FileError` if it cannot be read and :class:`ConfigError` with everything
        that is wrong in it.
        """

    @staticmethod
    def from_yaml(text: str, *, file: str | None = None) -> Config:
        """Reads a configuration from YAML or JSON text.

        ``file`` is the name that diagnostics and origins give, and relative paths start at its
        directory; it is not opened. Raises :class:`ConfigError` with everything that is wrong.
        """

    @property
    def diagnostics(self) -> list[Diagnostic]:
        """What is allowed and suspicious, in the order of the text."""

    @property
    def profiles(self) -> list[str]:
        """The names of the profiles, sorted."""

    @property
    def file(self) -> str | None:
        """The file it was read from."""

    def profile(self, name: str) -> Profile:
        """Lays a profile over ``litellm_base``.

        Raises :class:`ProfileError` if there is no profile of this name.
        """

    def profile_diagnostics(self) -> list[Diagnostic]:
        """What is suspicious about how the profiles change the base, in the order of the text."""

    def resolve(self) -> Config:
        """The same configuration with every path absolute, seen from the directory of its file (or
        the current directory, if it has none) and from ``$HOME``.

        Raises :class:`ConfigError` if a path cannot be resolved.
        """

    def to_dict(self) -> dict[str, Any]:
        """The document in the shape of version 2, its keys in the order they were written."""

@final
class Profile:
    """One profile of a configuration, laid over the base."""

    @property
    def name(self) -> str:
        """The name of the profile."""

    @property
    def diagnostics(self) -> list[Diagnostic]:
        """What is suspicious about the changes: a mapping that a null wipes out, a type that changes."""

    @property
    def origins(self) -> list[Origin]:
        """Where every leaf of the merged document was written, in its order."""

    @property
    def references(self) -> list[str]:
        """The credentials that the merged document refers to, each once, in its order."""

    def to_dict(self) -> dict[str, Any]:
        """The merged document: what LiteLLM reads, before the secrets are put in."""

    def diff(self, other: Profile) -> list[Change]:
        """What changes from this profile to another, leaf by leaf."""

    def render(self, secrets: Mapping[str, str]) -> str:
        """The document that LiteLLM reads, as YAML, with the secrets in place.

        ``secrets`` maps names of credentials to what they stand for. Raises :class:`ProfileError`
        with every credential that it lacks.
        """

@disjoint_base
class _Guard:
    """The native half of :class:`flowgate.Guard`."""

    def __new__(
        cls, policy: Mapping[str, Any] | None = None, *, packs: Sequence[str] = ()
    ) -> Self:
        """Create and return a new object.  See help(type) for accurate signature."""

    def check(
        self,
        command: str,
        *,
        cwd: str | os.PathLike[str] | None = None,
        home: str | os.PathLike[str] | None = None,
    ) -> Verdict:
        """Decides whether a command may run, without running it.

        ``cwd`` is the directory that it would run in, or else the current one; ``home`` is the
        home directory, or else that of the user when the guard was made.
        """

    def check_batch(
        self,
        commands: Iterable[str],
        *,
        cwd: str | os.PathLike[str] | None = None,
        home: str | os.PathLike[str] | None = None,
    ) -> list[Verdict]:
        """Decides many commands, in order, while other threads run.

        ``cwd`` and ``home`` are those of :meth:`check`.
        """

    def explain(
        self,
        command: str,
        *,
        cwd: str | os.PathLike[str] | None = None,
        home: str | os.PathLike[str] | None = None,
    ) -> str:
        """Decides like :meth:`check`, and tells how, for people."""

    def packs(self) -> list[PackInfo]:
        """The built-in packs and those of the user, with the rules in each."""

@final
class Verdict:
    """What a guard says about a command. True if the command may run: ``allow`` or ``warn``."""

    def __new__(
        cls,
        decision: Literal["allow", "warn", "ask", "deny"],
        rule: str | None = None,
        severity: Literal["low", "medium", "high", "critical"] | None = None,
        reason: str | None = None,
        suggestion: str | None = None,
        span: tuple[int, int] | None = None,
        evidence: Literal["certain", "unresolved"] = "certain",
    ) -> Verdict:
        """Create and return a new object.  See help(type) for accurate signature."""

    @property
    def decision(self) -> Literal["allow", "warn", "ask", "deny"]:
        """What to do: ``"allow"``, ``"warn"``, ``"ask"`` or ``"deny"``."""

    @property
    def rule(self) -> str | None:
        """The rule that decided, such as ``"core.filesystem:rm-root"``."""

    @property
    def severity(self) -> Literal["low", "medium", "high", "critical"] | None:
        """How bad it is: ``"low"``, ``"medium"``, ``"high"`` or ``"critical"``."""

    @property
    def reason(self) -> str | None:
        """What would be lost."""

    @property
    def suggestion(self) -> str | None:
        """What to do instead."""

    @property
    def span(self) -> tuple[int, int] | None:
        """The part that decided: ``command[start:end]``."""

    @property
    def evidence(self) -> Literal["certain", "unresolved"]:
        """``"unresolved"`` if a part of the command is known only when it runs, or else ``"certain"``."""

    def __bool__(self) -> bool:
        """True if self else False"""

    def __eq__(self, other: object, /) -> bool:
        """Return self==value."""

    def __hash__(self) -> int:
        """Return hash(self)."""

@final
class ClassifyRules:
    """What a user knows better than the tables: rules of :func:`classify`, ready to be asked."""

    def __new__(cls, rules: Sequence[Mapping[str, Any]]) -> ClassifyRules:
        """Create and return a new object.  See help(type) for accurate signature."""

@final
class Classification:
    """What an answer means, for whom, and what to do."""

    def __new__(
        cls,
        class_: str,
        scope: str,
        action: str,
        cooldown_ms: int | None = None,
    ) -> Classification:
        """Create and return a new object.  See help(type) for accurate signature."""

    @property
    def class_(self) -> str:
        """What kind of answer it is: ``"ok"``, ``"rate"``, ``"quota"``, ``"auth"`` …"""

    @property
    def scope(self) -> str:
        """Whom it is about: ``"none"``, ``"request"``, ``"model"``, ``"account"``, ``"egress"`` or
        ``"provider"``.
        """

    @property
    def action(self) -> str:
        """What to do with the request: ``"done"``, ``"stop"``, ``"next"`` or ``"refresh"``."""

    @property
    def cooldown_ms(self) -> int | None:
        """How long the provider asks to wait, in milliseconds, where it says so."""

    def __eq__(self, other: object, /) -> bool:
        """Return self==value."""

    def __hash__(self) -> int:
        """Return hash(self)."""

@final
class PoolVerdict:
    """What a pool made of an answer."""

    @property
    def account(self) -> str | None:
        """The account; ``None`` if the lease was reported before or taken back, and nothing changed."""

    @property
    def class_(self) -> str:
        """What kind of answer it was: ``"ok"``, ``"rate"``, ``"quota"``, ``"auth"`` …"""

    @property
    def action(self) -> str:
        """What to do with the request: ``"done"``, ``"stop"``, ``"next"`` or ``"refresh"``."""

    @property
    def until(self) -> int | None:
        """Until when the account, the model or the provider is left alone because of it, in
        milliseconds since 1970.
        """

    @property
    def served(self) -> bool:
        """Whether the request was served."""

@disjoint_base
class _Pool:
    """The native half of :class:`flowgate.Pool`."""

    def __new__(
        cls,
        accounts: Sequence[Mapping[str, Any]],
        settings: Mapping[str, Any] | None = None,
        rules: ClassifyRules | None = None,
        state: str | None = None,
        config: Config | None = None,
    ) -> Self:
        """Create and return a new object.  See help(type) for accurate signature."""

    def _pick(
        self,
        model: str,
        session: str | None,
        tokens: int,
        exclude: _Retries | None,
        since: int | None,
    ) -> tuple[Any, ...]:
        """The permit and its account, or when to ask again and why nobody can serve now."""

    def _report(
        self,
        permit: int,
        status: int | None,
        headers: Mapping[Any, Any] | Iterable[tuple[str | bytes, str | bytes]] | None,
        body: str | bytes | None,
        transport: Literal["cancelled", "connect", "eof", "reset", "timeout"] | None,
        tokens: int | None,
    ) -> PoolVerdict:
        ...

    def _headers(
        self,
        permit: int,
        status: int,
        headers: Mapping[Any, Any] | Iterable[tuple[str | bytes, str | bytes]] | None,
    ) -> None:
        ...

    def _next(self, report: PoolVerdict, retries: _Retries) -> int | str:
        """What to do with a request after a report: ``"stop"``, ``"refresh"``, or when to try again."""

    def _refresh_begin(self, id: str) -> _Refresh | None:
        ...

    def _refresh_end(self, refresh: _Refresh, how: str) -> bool:
        ...

    def upsert(self, account: Mapping[str, Any]) -> None:
        """Adds an account, or changes the one of that id. What was learned about it stays, unless its
        ``revision`` is new: then its credential is, and it is given a new try.
        """

    def remove(self, id: str) -> None:
        """Removes an account. Its requests under way may still be reported. Raises ``KeyError`` if
        there is none of this id.
        """

    def set_enabled(self, id: str, enabled: bool) -> None:
        """Lets an account serve, or not. Requests under way are not touched. Raises ``KeyError`` if
        there is none of this id.
        """

    def reset(self, id: str) -> None:
        """Forgets every failure of an account. Raises ``KeyError`` if there is none of this id."""

    def observe_usage(self, id: str, body: str | bytes) -> bool:
        """Learns from what a usage endpoint of the provider answered (Claude's ``/api/oauth/usage``,
        Codex's ``/wham/usage``); false if it is none of these. Raises ``KeyError`` if there is no
        account of this id.
        """

    @property
    def accounts(self) -> list[str]:
        """The ids of the accounts."""

    @property
    def inflight(self) -> int:
        """How many requests are under way."""

    def expire(self) -> int:
        """Takes back the permits of which nothing was heard for too long; answers how many."""

    def snapshot(self) -> str:
        """All that the pool has learned, as JSON text: to continue after a restart. No secret is in it."""

    def _explain(self, model: str, session: str | None, tokens: int) -> list[dict[str, Any]]:
        ...

    @property
    def _is_shared(self) -> bool:
        """Whether other processes use the same pool."""

    @property
    def _is_strict(self) -> bool:
        """Whether the server is asked whose turn it is, which takes a moment."""

    def _status(self) -> dict[str, Any] | None:
        """How sharing goes; ``None`` if the pool is not shared."""

    def _changed(self, seen: int, seconds: float) -> int:
        """Waits, for so many seconds at most, until something is learned from another process after the
        change of that number. Answers the number of the last one.
        """

    def _settle(self) -> None:
        """Waits until the server of a shared pool was reached, or found to be away."""

    def leave(self) -> None:
        """Gives back what this process holds for itself of what is shared. The pool goes on alone."""

    def _drain_events(self) -> list[dict[str, Any]]:
        ...

@final
class _Refresh:
    """The right to refresh one credential."""

@final
class _Retries:
    """One request over all the times that it is sent."""

    def __new__(cls, begun: int, deadline: int | None) -> _Retries:
        """Create and return a new object.  See help(type) for accurate signature."""

if sys.platform == "linux":
    @final
    class _Supervisor:
        """A supervisor of this process, or the way to one of another."""

        @staticmethod
        def of_services(
            services: Mapping[str, Any],
            dir: str | os.PathLike[str],
            program: str | os.PathLike[str],
        ) -> _Supervisor:
            """Starts a supervisor of services, as ``services`` of a configuration has them."""

        @staticmethod
        def of_config(config: Config, program: str | os.PathLike[str]) -> _Supervisor:
            """Starts the supervisor of a configuration."""

        @staticmethod
        def connect(dir: str | os.PathLike[str]) -> _Supervisor:
            """The way to the supervisor of a runtime directory."""

        @property
        def dir(self) -> Path:
            """Where it keeps what it needs."""

        def ask(
            self,
            request: str,
            timeout: float | None,
            answer: Callable[[str | None, BaseException | None], object],
        ) -> None:
            """Asks, in JSON; ``answer`` is called with a text in JSON, or with nothing and an exception."""

        def replace(
            self,
            services: Mapping[str, Any],
            answer: Callable[[str | None, BaseException | None], object],
        ) -> None:
            """Makes the services be these."""

        def at_end(self, answer: Callable[[str | None, BaseException | None], object]) -> None:
            """Calls ``answer`` when the supervisor has ended."""

        def follow(self) -> _Events:
            """What happens from now on."""

        def log_file(self, service: str) -> Path:
            """The file that the output of a service goes to."""

        def close(self) -> None:
            """Ends it. A supervisor of this process brings everything down first."""

    @final
    class _Events:
        """What happens, one event at a time."""

        def next(self, answer: Callable[[str | None, BaseException | None], object]) -> None:
            """Calls ``answer`` with the next event in JSON, or with nothing when there will be none."""

def classify(
    provider: str = "",
    *,
    status: int | None = None,
    headers: Mapping[Any, Any] | Iterable[tuple[str | bytes, str | bytes]] | None = None,
    body: str | bytes | None = None,
    transport: Literal["cancelled", "connect", "eof", "reset", "timeout"] | None = None,
    rules: ClassifyRules | None = None,
    now: int | None = None,
) -> Classification:
    """Says what an answer of a provider means, for whom, and when to come back.

    ``provider`` is ``"openai"``, ``"azure"``, ``"anthropic"``, ``"codex"``, ``"gemini"``,
    ``"openrouter"`` or any other name; ``headers`` are a mapping or pairs, of text or bytes; of
    ``body``, 16 KB are looked at. ``transport`` says how an exchange ended without an answer:
    ``"cancelled"``, ``"connect"``, ``"eof"``, ``"reset"`` or ``"timeout"``. ``now`` is the time in
    milliseconds since 1970, or else the current one. Every answer has a meaning.
    """

def merge(base: Mapping[str, Any], overlay: Mapping[str, Any]) -> Merge:
    """Lays one document over another, as a profile is laid over the base.

    Mappings are merged, everything else replaces, and the text ``"$delete"`` removes a key.
    Neither document is changed.

    Raises ``TypeError`` for what a document cannot hold, and ``ValueError`` for numbers that are
    not finite, integers beyond 128 bits, and documents that are too deep or too large.
    """

def migrate(text: str) -> Migration:
    """Rewrites the text of a configuration of version 1 or 3 as version 2.

    Comments, order and quoting are kept; mistakes that were there before are reported and left to
    the author.

    Raises :class:`ConfigError` if the text is not YAML or its version is unknown.
    """

def resolve_path(path: str, *, dir: str, home: str | None = None) -> str:
    """Where a path of a configuration leads: absolute stays, ``~`` is ``home``, anything else starts
    at ``dir``.

    Nothing is looked up. Raises :class:`ConfigError` for a path that is blank, a URL, or that
    needs a home directory which is not given.
    """

def activate(config: Config, name: str) -> Activation:
    """Makes a profile the active one: fetches its secrets and writes the LiteLLM configuration and
    ``state.json``, both or neither. The former, which holds them, is readable by its owner alone.

    Paths are resolved first, as by :meth:`Config.resolve`. If everything is as it should be
    already, nothing is written.

    Raises :class:`ProfileError` if the profile or one of its secrets is missing and
    :class:`FileError` if a file cannot be written; the active profile stays as it was.
    """

def active_profile(config: Config) -> State | None:
    """Which profile is active; ``None`` if none is.

    Raises :class:`FileError` if ``state.json`` is there and cannot be read.
    """

def json_schema() -> dict[str, Any]:
    """The JSON Schema of the configuration, for editors and validators."""

def _describe(
    message: str, file: str | None, line: int, column: int, path: str, hint: str | None
) -> str:
    """The text form of a diagnostic, for `Diagnostic.__str__`."""
