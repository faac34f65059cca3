"""Compares what choosing an account costs: flowgate's pool and the router of LiteLLM, side by side.

    python3 benches/peers/accounts/measure.py
    python3 benches/peers/accounts/measure.py --python ~/venvs/litellm/bin/python --counts 10,100,1000

Both are asked in the same interpreter, in turns, round by round, so that what else the machine does
falls on both. Without ``--python``, LiteLLM is installed from PyPI into a scratch environment, which
takes a minute or two and is deleted afterwards. The flowgate package is the one of this repository, built
with ``cargo build --release``.

What is compared is not the same work: LiteLLM's router chooses a deployment; flowgate chooses, counts the
request as under way, and learns from the answer (its report is in the time). LiteLLM does its part of that
in callbacks, which are not in its time here.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[3]
LITELLM = "litellm==1.106.2"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", type=Path, help="an interpreter that has litellm")
    parser.add_argument("--counts", default="10,100,1000", help="how many accounts; default: %(default)s")
    parser.add_argument("--rounds", type=int, default=15, help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    counts = [int(count) for count in arguments.counts.split(",")]
    if arguments.inside:
        print(json.dumps([row for count in counts for row in measure(count, arguments.rounds)]))
        return
    with tempfile.TemporaryDirectory(prefix="flowgate-bench-") as scratch:
        python = arguments.python or install(Path(scratch))
        rows = run_inside(python, build(Path(scratch)), arguments)
    print(json.dumps(rows, indent=2) if arguments.json else table(rows))


def install(scratch: Path) -> Path:
    """An interpreter with LiteLLM."""
    place = scratch / "venv"
    venv.create(place, with_pip=True)
    python = place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", LITELLM], check=True)
    return python


def build(scratch: Path) -> Path:
    """The package as it is here, optimised, in a directory to import from."""
    command = ["cargo", "build", "--release", "--package", "flowgate-py"]
    command += ["--message-format", "json-render-diagnostics"]
    built = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, check=True)
    messages = [json.loads(line) for line in built.stdout.splitlines()]
    targets = [m for m in messages if m.get("target", {}).get("name") == "_flowgate"]
    suffixes = (".so", ".dylib", ".dll")
    library = next(file for m in targets for file in m["filenames"] if file.endswith(suffixes))
    package = scratch / "package"
    shutil.copytree(REPOSITORY / "flowgate-py/python/flowgate", package / "flowgate")
    for stale in (package / "flowgate").glob("_flowgate.*.so"):
        stale.unlink()
    name = "_flowgate.pyd" if os.name == "nt" else "_flowgate.abi3.so"
    shutil.copy2(library, package / "flowgate" / name)
    return package


def run_inside(python: Path, package: Path, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    command = [python, __file__, "--inside", "--counts", arguments.counts]
    command += ["--rounds", str(arguments.rounds)]
    # LiteLLM would fetch a list of prices otherwise.
    env = {**os.environ, "PYTHONPATH": str(package), "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    ran = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
    rows: list[dict[str, Any]] = json.loads(ran.stdout.splitlines()[-1])
    return rows


def measure(count: int, rounds: int) -> list[dict[str, Any]]:
    """Microseconds for each way, the median of the rounds."""
    ways = {**ours(count), **theirs(count)}
    times: dict[str, list[float]] = {name: [] for name in ways}
    repeats = {name: repeat_for(way) for name, way in ways.items()}
    for _ in range(rounds):
        for name, way in ways.items():
            times[name].append(timed(way, repeats[name]))
    medians = {name: statistics.median(values) for name, values in times.items()}
    peer = medians["litellm simple-shuffle"]
    return [
        {"accounts": count, "way": name, "us": us, "peer_over_this": peer / us}
        for name, us in medians.items()
    ]


def ours(count: int) -> dict[str, Callable[[], object]]:
    import flowgate

    def pool(**settings: Any) -> flowgate.Pool:
        accounts = [{"id": f"account-{n}", "provider": "openai"} for n in range(count)]
        return flowgate.Pool(accounts, settings=settings)

    headers = {
        "x-ratelimit-limit-requests": "100000000",
        "x-ratelimit-remaining-requests": "99999999",
        "x-ratelimit-reset-requests": "1ms",
    }

    def lease_and_report(pool: flowgate.Pool, headers: dict[str, str] | None = None) -> Callable[[], object]:
        def once() -> object:
            with pool.lease(model="m") as lease:
                return lease.report(200, headers)

        return once

    sessions = [f"session-{n}" for n in range(1_000)]

    def in_sessions() -> Callable[[], object]:
        sticky, turn = pool(), 0

        def once() -> object:
            nonlocal turn
            turn += 1
            with sticky.lease(model="m", session=sessions[turn % 1_000]) as lease:
                return lease.report(200)

        return once

    return {
        "flowgate lease + report": lease_and_report(pool()),
        "flowgate lease + report, round_robin": lease_and_report(pool(strategy="round_robin")),
        "flowgate lease + report, in sessions": in_sessions(),
        "flowgate lease + report with quota headers": lease_and_report(pool(), headers),
    }


def theirs(count: int) -> dict[str, Callable[[], object]]:
    from litellm import Router

    def choose(strategy: str) -> Callable[[], object]:
        deployments = [
            {
                "model_name": "m",
                "litellm_params": {"model": "openai/gpt-4o", "api_key": f"sk-{n}"},
            }
            for n in range(count)
        ]
        router = Router(model_list=deployments, routing_strategy=strategy)
        messages = [{"role": "user", "content": "hi"}]
        return lambda: router.get_available_deployment(model="m", messages=messages, request_kwargs={})

    return {f"litellm {name}": choose(name) for name in ("simple-shuffle", "least-busy")}


def timed(way: Callable[[], object], repeats: int) -> float:
    begun = time.perf_counter()
    for _ in range(repeats):
        way()
    return (time.perf_counter() - begun) / repeats * 1e6


def repeat_for(way: Callable[[], object]) -> int:
    """As often as fits into 20 ms, once warm."""
    way()
    once = max(timed(way, 3), 0.1)
    return max(3, int(20_000 / once))


def table(rows: list[dict[str, Any]]) -> str:
    head = f"{'accounts':>8}  {'way':<44}{'µs':>10}  {'LiteLLM takes':>14}"
    lines = [head]
    for row in rows:
        ratio = f"{row['peer_over_this']:,.0f} x" if row["way"].startswith("flowgate") else ""
        lines.append(f"{row['accounts']:>8}  {row['way']:<44}{row['us']:>10,.2f}  {ratio:>14}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
