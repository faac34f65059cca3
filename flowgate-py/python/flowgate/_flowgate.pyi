"""Native half of the `flowgate` package."""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, final

from typing_extensions import Self, disjoint_base

from .values import Activation, Change, Diagnostic, Merge, Migration, Origin, PackInfo, State

__all__ = [
    "STARTER",
    "Config",
    "Profile",
    "Verdict",
    "_Guard",
    "__version__",
    "_describe",
    "activate",
    "active_profile",
    "json_schema",
    "merge",
    "migrate",
    "resolve_path",
]

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
