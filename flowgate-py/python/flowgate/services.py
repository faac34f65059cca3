"""What is supervised, and what a supervisor tells of it: the values of :mod:`flowgate.supervisor`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, TypedDict


class Command(TypedDict, total=False):
    """What is run: ``args`` are the program and its arguments, without a shell."""

    args: list[str]
    cwd: str
    env: dict[str, str]
    env_file: list[str]
    inherit_env: bool


class _Command(TypedDict):
    command: Command


class Service(_Command, total=False):
    """A service, as it stands under ``services`` of a configuration; only ``command`` is required."""

    host: str
    port: int
    on_port_conflict: Literal["wait", "fail"]
    overlap: Literal["never", "socket", "forward"]
    start_timeout: str
    readiness: Mapping[str, Any]
    readiness_path: str
    liveness: Mapping[str, Any]
    health_path: str
    restart: Mapping[str, Any]
    stop: Mapping[str, Any]
    depends_on: list[str] | Mapping[str, Any]
    logs: Mapping[str, Any]
    on_supervisor_exit: Literal["stop", "leave"]


#: Services by name: each as :class:`Service` says, or the words of its command alone.
Services: TypeAlias = Mapping[str, Service | Mapping[str, Any] | Sequence[str]]


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """Where a service stands.

    ``public`` is that in one word of six, ``state`` in more detail (``"ready"``, ``"unhealthy"``,
    ``"waiting"``, ``"backoff"`` …), with what belongs to it in ``detail``; ``want`` says whether it
    shall run. ``generation`` is the number of its process, or of the last one, ``restarts`` how often
    it was started again after it ended by itself. ``last_exit`` is how its last process ended, as the
    ``returncode`` of a subprocess: negative for a signal; ``completed`` says whether it did its work, if
    it has ended and is not started again. Memory and processor are those of all of its processes.
    """

    name: str
    public: Literal["stopped", "starting", "running", "stopping", "restarting", "error"]
    state: str
    want: Literal["up", "down"]
    generation: int
    pid: int | None = None
    port: int | None = None
    restarts: int = 0
    last_exit: int | None = None
    completed: bool | None = None
    last_error: str | None = None
    uptime_ms: int | None = None
    rss_bytes: int | None = None
    cpu_ms: int | None = None
    log_bytes_lost: int = 0
    detail: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def running(self) -> bool:
        """Whether it is ready for work."""
        return self.public == "running"


@dataclass(frozen=True, slots=True)
class ServiceEvent:
    """Something that happened.

    ``ts`` is when, in RFC 3339, ``event`` what (``"service.ready"``, ``"service.exited"`` …; the list
    is in the documentation of supervision), ``service`` to which one, and ``data`` what else there is
    to know. ``"supervisor.lagged"`` says how many events were ``missed``, for nobody asked for them.
    """

    ts: str
    seq: int
    event: str
    level: Literal["debug", "info", "warn", "error"]
    service: str
    data: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class PlanStep:
    """What a change means for one service, and why: with ``"replace"`` the new process is ready
    before the old one is stopped, with ``"reconfigure"`` the process stays."""

    service: str
    action: Literal["stop", "replace", "restart", "reconfigure", "start"]
    because: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Applied:
    """How a change of the configuration ended: ``"committed"``; ``"rolled_back"``, because of
    ``why``, and everything is as it was but for what ``left`` says; or ``"planned"``, and nothing
    was done."""

    outcome: Literal["committed", "rolled_back", "planned"]
    plan: tuple[PlanStep, ...] = ()
    why: str | None = None
    left: str | None = None


def as_document(services: Services) -> dict[str, Any]:
    # Paths are given as they are: a document knows texts only.
    return {name: _words(service) for name, service in services.items()}


def _words(service: Any) -> Any:
    if isinstance(service, (list, tuple)):
        return [os.fspath(word) for word in service]
    return service


def read_statuses(answer: Mapping[str, Any]) -> list[ServiceStatus]:
    return [_status(dict(fields)) for fields in answer["services"]]


def _status(fields: dict[str, Any]) -> ServiceStatus:
    known = {name: fields.pop(name) for name in _STATUS if name in fields}
    process, last_exit = fields.pop("process"), fields.pop("last_exit")
    del fields["since"]
    if isinstance(last_exit, dict):
        known["last_exit"] = last_exit.get("code", -last_exit.get("signal", 0))
    return ServiceStatus(pid=process and process["pid"], detail=fields, **known)


#: What a status has in common with its JSON form.
_STATUS = (
    *("name", "public", "state", "want", "generation", "port", "restarts", "completed", "last_error"),
    *("uptime_ms", "rss_bytes", "cpu_ms", "log_bytes_lost"),
)


def read_event(fields: dict[str, Any]) -> ServiceEvent:
    return ServiceEvent(service=fields.pop("subject"), **fields)


def read_applied(answer: Mapping[str, Any]) -> Applied:
    return Applied(
        answer.get("outcome", "planned"),
        _plan(answer.get("plan") or ()),
        answer.get("why"),
        answer.get("left"),
    )


def _plan(steps: Iterable[Mapping[str, Any]]) -> tuple[PlanStep, ...]:
    return tuple(
        PlanStep(step["service"], step["action"], tuple(step.get("because", ()))) for step in steps
    )
