"""What a type checker must accept, and what it must refuse. Checked by mypy, never run."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, Literal

import flowgate
from typing_extensions import assert_type

config = flowgate.Config.load("flowgate.yaml")
assert_type(config, flowgate.Config)
assert_type(flowgate.Config.load(Path("flowgate.yaml")), flowgate.Config)
assert_type(flowgate.Config.from_yaml(flowgate.STARTER, file=None), flowgate.Config)
assert_type(config.diagnostics, list[flowgate.Diagnostic])
assert_type(config.profiles, list[str])
assert_type(config.file, str | None)
assert_type(config.resolve().to_dict(), dict[str, Any])

profile = config.profile("balanced")
assert_type(profile.origins[0].line, int)
assert_type(profile.diff(profile)[0].kind, Literal["added", "changed", "removed"])
assert_type(profile.render({"main": "sk"}), str)
assert_type(flowgate.merge({}, {"a": 1}).merged, dict[str, Any])
assert_type(flowgate.migrate("").remaining, tuple[flowgate.Diagnostic, ...])
assert_type(flowgate.activate(config, "balanced").active_config, Path)
assert_type(flowgate.active_profile(config), flowgate.State | None)

guard = flowgate.Guard({"mode": "ask"}, packs=["id: my.tool"])
assert_type(guard.check("ls", cwd=Path("/"), home="/home/dev"), flowgate.Verdict)
assert_type(guard.check("ls").decision, Literal["allow", "warn", "ask", "deny"])
assert_type(guard.check("ls").span, tuple[int, int] | None)
assert_type(guard.check_batch(c for c in ["ls"]), list[flowgate.Verdict])
assert_type(guard.packs()[0].rules, tuple[flowgate.RuleInfo, ...])
guard.run("ls", check=True)
guard.run([Path("ls"), "-l"])


@guard.protect
def shell(command: str, times: int = 1) -> bytes: ...  # type: ignore[empty-body]


assert_type(shell("ls", times=2), bytes)

pool = flowgate.Pool.from_config(config, state=None)
assert_type(pool, flowgate.Pool)
assert_type(pool.settled(), flowgate.SharedStatus | None)
if (sharing := pool.shared) is not None:
    assert_type(sharing.state, Literal["connecting", "shared", "degraded"])
    sharing.mode = "strict"  # type: ignore[misc]
pool.leave()

hashable: Hashable = profile.origins[0]
verdict: Hashable = guard.check("ls")

try:
    config.profile("nope")
except flowgate.FlowgateError as error:
    assert_type(error.code, str)
    assert_type(error.diagnostics, list[flowgate.Diagnostic])

# With --strict, an ignore that ignores nothing is an error: each of these must be refused.
flowgate.Config.load(b"flowgate.yaml")  # type: ignore[arg-type]
flowgate.Config.from_yaml("", "flowgate.yaml")  # type: ignore[call-arg]
config.file = "other.yaml"  # type: ignore[misc]
profile.origins[0].line = 3  # type: ignore[misc]
profile.render({"main": None})  # type: ignore[dict-item]
guard.check(["ls"])  # type: ignore[arg-type]
guard.check("ls", "/")  # type: ignore[call-arg]
guard.check("ls").decision = "allow"  # type: ignore[misc]
guard.check("ls").decision == "dney"  # type: ignore[comparison-overlap]
shell(1)  # type: ignore[arg-type]
flowgate.active_profile(config).current_profile  # type: ignore[union-attr]


class Mine(flowgate.Profile): ...  # type: ignore[misc]

supervisor = flowgate.Supervisor({"web": ["serve"], "db": {"command": {"args": ["db"]}}}, runtime_dir=".run")
service: flowgate.Service = {"command": {"args": ["db"]}, "port": 80, "overlap": "socket"}
with supervisor as running, flowgate.SupervisorClient(Path(".run")) as client:
    assert_type(running, flowgate.Supervisor)
    assert_type(running.start("web", timeout=3), list[flowgate.ServiceStatus])
    assert_type(client.status()[0].pid, int | None)
    assert_type(client.apply("cost", dry_run=True).plan[0].because, tuple[str, ...])
    assert_type(running.replace({"db": service}), list[flowgate.ServiceStatus])
    for event in running.events():
        assert_type(event, flowgate.ServiceEvent)
        assert_type(event.data, Mapping[str, Any])


async def main() -> None:
    async with supervisor as s, flowgate.SupervisorClient(config):
        assert_type(s, flowgate.AsyncSupervisor)
        assert_type(await s.restart(), list[flowgate.ServiceStatus])
        async for happened in s.events():
            assert_type(happened.level, Literal["debug", "info", "warn", "error"])
        s.start().running  # type: ignore[attr-defined]


running.start(["web"])  # type: ignore[arg-type]
running.status()[0].public = "running"  # type: ignore[misc]
flowgate.Supervisor(["web"])  # type: ignore[arg-type]
