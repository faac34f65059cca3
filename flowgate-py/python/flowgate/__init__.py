"""The control layer for AI coding agents: what a setup is, and what a profile makes of it.

    >>> import flowgate
    >>> config = flowgate.Config.from_yaml(flowgate.STARTER)
    >>> config.profiles
    ['balanced', 'cost', 'reliability']
    >>> config.profile("balanced").to_dict()["litellm_settings"]["num_retries"]
    2

Every mistake of a configuration is reported at once, each with its place::

    try:
        config = flowgate.Config.load("flowgate.yaml")
    except flowgate.ConfigError as error:
        for problem in error.diagnostics:
            print(problem)

The guard decides whether a shell command may run:

    >>> guard = flowgate.Guard()
    >>> guard.check("X=/; sudo rm -rf $X")
    <flowgate.Verdict deny rule='core.filesystem:rm-root'>
    >>> bool(guard.check("git commit -m 'never rm -rf /'"))
    True

A pool decides which account sends the next request, and learns from the answers:

    >>> pool = flowgate.Pool([{"id": "a", "provider": "openai"}, {"id": "b", "provider": "openai"}])
    >>> with pool.lease(model="gpt-5") as lease:
    ...     lease.report(429, {"retry-after": "20"})
    <flowgate.PoolVerdict rate account='a' action=next>

A supervisor keeps services up::

    with flowgate.Supervisor({"web": ["python3", "-m", "http.server"]}, runtime_dir=".run") as s:
        s.start()
        for event in s.events():
            print(event.service, event.event)
"""

from ._flowgate import (
    STARTER,
    Classification,
    ClassifyRules,
    Config,
    PoolVerdict,
    Profile,
    Verdict,
    __version__,
    activate,
    active_profile,
    classify,
    json_schema,
    merge,
    migrate,
    resolve_path,
)
from .accounts import Account, Attempts, Candidate, Lease, Left, Pool, SharedStatus
from .exceptions import (
    AccountsError,
    ConfigError,
    Denied,
    FileError,
    FlowgateError,
    GuardError,
    NoAccount,
    ProfileError,
    SuperviseError,
    SuperviseTimeout,
)
from .guard import Guard
from .services import Applied, PlanStep, Service, ServiceEvent, ServiceStatus
from .supervisor import AsyncSupervisor, ServiceEvents, Supervisor, SupervisorClient
from .values import (
    Activation,
    Change,
    Diagnostic,
    Merge,
    Migration,
    Origin,
    PackInfo,
    Related,
    RuleInfo,
    State,
)

__all__ = [
    "STARTER",
    "Account",
    "AccountsError",
    "Activation",
    "Applied",
    "AsyncSupervisor",
    "Attempts",
    "Candidate",
    "Change",
    "Classification",
    "ClassifyRules",
    "Config",
    "ConfigError",
    "Denied",
    "Diagnostic",
    "FileError",
    "FlowgateError",
    "Guard",
    "GuardError",
    "Lease",
    "Left",
    "Merge",
    "Migration",
    "NoAccount",
    "Origin",
    "PackInfo",
    "PlanStep",
    "Pool",
    "PoolVerdict",
    "Profile",
    "ProfileError",
    "Related",
    "RuleInfo",
    "Service",
    "ServiceEvent",
    "ServiceEvents",
    "ServiceStatus",
    "SharedStatus",
    "State",
    "SuperviseError",
    "SuperviseTimeout",
    "Supervisor",
    "SupervisorClient",
    "Verdict",
    "__version__",
    "activate",
    "active_profile",
    "classify",
    "json_schema",
    "merge",
    "migrate",
    "resolve_path",
]
