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
"""

from ._flowgate import (
    STARTER,
    Config,
    Profile,
    Verdict,
    __version__,
    activate,
    active_profile,
    json_schema,
    merge,
    migrate,
    resolve_path,
)
from .exceptions import (
    ConfigError,
    Denied,
    FileError,
    FlowgateError,
    GuardError,
    ProfileError,
)
from .guard import Guard
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
    "Activation",
    "Change",
    "Config",
    "ConfigError",
    "Denied",
    "Diagnostic",
    "FileError",
    "FlowgateError",
    "Guard",
    "GuardError",
    "Merge",
    "Migration",
    "Origin",
    "PackInfo",
    "Profile",
    "ProfileError",
    "Related",
    "RuleInfo",
    "State",
    "Verdict",
    "__version__",
    "activate",
    "active_profile",
    "json_schema",
    "merge",
    "migrate",
    "resolve_path",
]
