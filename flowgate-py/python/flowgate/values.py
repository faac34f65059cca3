"""What flowgate answers with: plain values that compare, pickle, and match.

Where a value quotes a document, which may hold secrets, ``repr`` leaves that part out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ._flowgate import _describe


@dataclass(frozen=True, slots=True)
class Related:
    """A second place that belongs to a :class:`Diagnostic`, such as the first of two equal keys.

    Lines and columns are those of :class:`Diagnostic`.
    """

    message: str
    line: int = 0
    column: int = 0
    end_line: int = 0
    end_column: int = 0


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One problem of a document: what, where, and how to fix it. ``str`` says it in one line.

    Lines and columns count from one, columns are characters, and the end is exclusive; all are
    zero for what was not read from a text. ``code`` is a stable name such as
    ``"config.unknown_key"``, ``path`` the place in the document, such as
    ``"services.litellm.port"``. The message never quotes a value of the document.
    """

    severity: Literal["error", "warning"]
    code: str
    message: str
    file: str | None = None
    line: int = 0
    column: int = 0
    end_line: int = 0
    end_column: int = 0
    path: str = ""
    hint: str | None = None
    related: tuple[Related, ...] = ()

    def __str__(self) -> str:
        return _describe(self.message, self.file, self.line, self.column, self.path, self.hint)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value of a profile was written.

    ``path`` is the value, such as ``"model_list[0].model_name"``; ``layer`` is ``"litellm_base"``
    or ``"profiles.NAME"``. Lines and columns are those of :class:`Diagnostic`.
    """

    path: str
    layer: str
    file: str | None = None
    line: int = 0
    column: int = 0
    end_line: int = 0
    end_column: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """One leaf that differs between two profiles.

    ``before`` is ``None`` for what was added, ``after`` for what was removed.
    """

    path: str
    kind: Literal["added", "changed", "removed"]
    before: Any = field(default=None, repr=False)
    after: Any = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Merge:
    """Two documents as one, and what is suspicious about how they differ."""

    merged: dict[str, Any] = field(repr=False)
    warnings: tuple[Diagnostic, ...] = ()


@dataclass(frozen=True, slots=True)
class Migration:
    """A document as version 2.

    ``changes`` has one sentence for each thing that was changed, and nothing if the document was
    up to date; ``remaining`` is what is still wrong with it, which its author has to mend.
    """

    text: str = field(repr=False)
    changes: tuple[str, ...] = ()
    remaining: tuple[Diagnostic, ...] = ()


@dataclass(frozen=True, slots=True)
class Activation:
    """What :func:`flowgate.activate` did.

    ``active_config`` is the LiteLLM configuration and ``state_file`` says which profile is active.
    ``changed`` is false if both were as they should be already, and nothing was written.
    """

    profile: str
    active_config: Path
    state_file: Path
    changed: bool


@dataclass(frozen=True, slots=True)
class State:
    """The active profile, and when it became active, in RFC 3339."""

    current_profile: str
    updated_at: str


@dataclass(frozen=True, slots=True)
class RuleInfo:
    """A rule of the guard.

    ``decision`` is what it decides by itself; ``deny`` has commands that it stops, ``allow``
    commands that the guard lets through.
    """

    id: str
    severity: Literal["low", "medium", "high", "critical"]
    decision: Literal["allow", "warn", "ask", "deny"]
    reason: str
    suggestion: str | None = None
    deny: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PackInfo:
    """A pack of the guard, and its rules."""

    id: str
    name: str
    description: str
    rules: tuple[RuleInfo, ...] = ()
