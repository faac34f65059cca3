#!/usr/bin/env python3
"""LiteLLM behind FlowGate under load: how many requests a switch of the profile loses, and how long
it is away after `kill -9`.

    cargo build --release -p flowgate-cli
    pip install 'litellm[proxy]'
    python3 benches/supervise/litellm.py [--flowgate target/release/flowgate] [--rate 200] [--switches 2]

Each request has a connection of its own, and a minute to be answered. The configuration is that of
`examples/litellm`. Requests come at the rate whether those before them are answered or not; with
`--switches 0 --seconds 40` it shows what LiteLLM bears by itself.
"""

import argparse
import asyncio
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BODY = json.dumps({"model": "default", "messages": [{"role": "user", "content": "hi"}]})
REQUEST = (f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer x\r\n"
           f"Content-Type: application/json\r\nConnection: close\r\nContent-Length: {len(BODY)}\r\n\r\n{BODY}").encode()


async def ask(port):
    """When it was sent, how long the answer took, and what is wrong with it."""
    begun = time.monotonic()
    try:
        read, write = await asyncio.open_connection("127.0.0.1", port)
        write.write(REQUEST)
        answer = await asyncio.wait_for(read.read(), 60)
        write.close()
        wrong = None if answer.startswith(b"HTTP/1.1 200") else answer[:200].decode(errors="replace") or "no answer"
    except (OSError, asyncio.TimeoutError) as error:
        wrong = repr(error)
    return begun, time.monotonic() - begun, wrong


async def load(port, rate, stop):
    """Sends so many a second, whether those before it are answered or not."""
    tasks, begun, number = [], time.monotonic(), 0
    while not stop.is_set():
        number += 1
        tasks.append(asyncio.create_task(ask(port)))
        await asyncio.sleep(max(0, begun + number / rate - time.monotonic()))
    return await asyncio.gather(*tasks)


def summary(answers, begun):
    times = sorted(took for _, took, wrong in answers if wrong is None)
    failed = [answer for answer in answers if answer[2] is not None]
    span = max(sent for sent, _, _ in answers) - min(sent for sent, _, _ in answers)
    return {"requests": len(answers), "a_second": round(len(answers) / span), "failed": len(failed),
            "failures": failures(failed, begun), "p50_ms": round(statistics.median(times) * 1000, 1),
            "p99_ms": round(times[int(len(times) * 0.99)] * 1000, 1)}


def failures(failed, begun):
    """Of each kind: how many, when the first and the last of them came, in seconds of the run."""
    kinds = {}
    for sent, took, wrong in failed:
        kinds.setdefault(wrong, []).append(round(sent + took - begun, 1))
    return {wrong: {"count": len(at), "first_s": min(at), "last_s": max(at)} for wrong, at in kinds.items()}


async def run(options, root, port):
    def call(*arguments):
        out = subprocess.run([options.flowgate, *arguments], cwd=root, capture_output=True, text=True, check=False)
        return out.returncode, out.stdout

    def service():
        _, out = call("status", "--format", "json")
        return next(s for s in json.loads(out)["services"] if s["name"] == "litellm")

    result = {}
    stop = asyncio.Event()
    started = time.monotonic()
    loading = asyncio.create_task(load(port, options.rate, stop))
    await asyncio.sleep(options.seconds)
    result["switches"] = []
    for profile in (["cost", "balanced"] * options.switches)[:options.switches]:
        begun = time.monotonic()
        code, _ = await asyncio.to_thread(call, "profile", "set", profile)
        result["switches"].append({"profile": profile, "exit_code": code, "begun_s": round(begun - started, 1),
                                   "took_s": round(time.monotonic() - begun, 1)})
        await asyncio.sleep(2)
    stop.set()
    result["under_load"] = summary(await loading, started)

    pid = service()["process"]["pid"]
    begun = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    while True:
        status = service()
        if status["public"] == "running" and status["process"]["pid"] != pid:
            break
        await asyncio.sleep(0.02)
    result["back_after_kill_s"] = round(time.monotonic() - begun, 2)
    return result


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--flowgate", default="target/release/flowgate", type=os.path.abspath)
    parser.add_argument("--rate", type=int, default=200)
    parser.add_argument("--switches", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=3, help="of load before the first switch")
    options = parser.parse_args()
    if not shutil.which("litellm"):
        print("there is no `litellm` on the path", file=sys.stderr)
        return 2
    source = Path(__file__).parents[2] / "examples/litellm/flowgate.yaml"
    with tempfile.TemporaryDirectory() as root:
        (Path(root) / "flowgate.yaml").write_text(
            source.read_text().replace("[flowgate, dev", f"[{json.dumps(options.flowgate)}, dev"))
        begun = time.monotonic()
        up = subprocess.run([options.flowgate, "up", "--detach"], cwd=root, capture_output=True, text=True, check=False)
        print(up.stdout, up.stderr, file=sys.stderr)
        try:
            result = {"up_after_s": round(time.monotonic() - begun, 1)}
            result.update(asyncio.run(run(options, root, 4000)))
            print(json.dumps(result, indent=2))
        finally:
            subprocess.run([options.flowgate, "down"], cwd=root, check=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
