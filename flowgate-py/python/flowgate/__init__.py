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
"""

from ._flowgate import (
    STARTER,
    Config,
    Profile,
    __version__,
    activate,
    active_profile,
    json_schema,
    merge,
    migrate,
    resolve_path,
)
from .exceptions import ConfigError, FileError, FlowgateError, ProfileError
from .values import Activation, Change, Diagnostic, Merge, Migration, Origin, Related, State

__all__ = [
    "STARTER",
    "Activation",
    "Change",
    "Config",
    "ConfigError",
    "Diagnostic",
    "FileError",
    "FlowgateError",
    "Merge",
    "Migration",
    "Origin",
    "Profile",
    "ProfileError",
    "Related",
    "State",
    "__version__",
    "activate",
    "active_profile",
    "json_schema",
    "merge",
    "migrate",
    "resolve_path",
]
