"""An agent in a loop: it thinks with accounts from a pool, and does only what the guard lets it.

    pip install ./flowgate-py && python examples/python/agent_loop.py

A supervisor in this program keeps `flowgate dev provider` up, which answers as OpenAI does, so that no
account is needed. Of the three keys one is revoked and one is soon used up; no turn is lost by that.
"""

import json
import socket
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

import flowgate

KEYS = {"gone": "sk-gone", "spent": "sk-spent", "fresh": "sk-fresh"}
SCRIPT = """
limits: { requests_per_minute: 600 }
keys:
  - { key: sk-fresh }
  - { key: sk-spent, limits: { requests_per_minute: 2 } }
  - { key: sk-gone, state: revoked }
"""
#: What the model would ask for, one turn after another.
WISHES = ["echo looking around", "rm -rf ~", "echo 'rm -rf / is a text here'", "git push --force", "echo done"]


def think(pool: flowgate.Pool, url: str, thread: str, prompt: str) -> str:
    """One turn of the model, by whichever account can serve it."""
    body = json.dumps({"model": "gpt-5", "messages": [{"role": "user", "content": prompt}]}).encode()
    for lease in pool.attempts(model="gpt-5", session=thread, tokens=len(body) // 4, timeout=30):
        with lease:
            request = urllib.request.Request(url, body, {"authorization": f"Bearer {KEYS[lease.account]}"})
            try:
                with urllib.request.urlopen(request, timeout=10) as response:
                    status, headers, answer = response.status, response.headers, response.read()
            except urllib.error.HTTPError as refused:
                status, headers, answer = refused.code, refused.headers, refused.read()
            verdict = lease.report(status, headers, answer)
            if not verdict.served:
                print(f"  ({lease.account}: {status}, {verdict.class_}; then: {verdict.action})")
    if status != 200:
        raise RuntimeError(f"the provider answered {status}: {answer!r}")
    return str(json.loads(answer)["choices"][0]["message"]["content"])


def act(guard: flowgate.Guard, command: str) -> str:
    """Runs what the model wants, or tells it why not and what to do instead."""
    try:
        return str(guard.run(command, capture_output=True, text=True).stdout).strip()
    except flowgate.Denied as denied:
        return f"{denied} Instead: {denied.verdict.suggestion}"


def main(directory: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    script = directory / "provider.yaml"
    script.write_text(SCRIPT)
    provider: flowgate.Service = {
        "command": {
            "args": [sys.executable, "-m", "flowgate", "dev", "provider", "--script", str(script), "--port", "{port}"]
        },
        "port": port,
        "readiness": {"http": "/health"},
    }
    guard = flowgate.Guard()
    pool = flowgate.Pool(
        [{"id": id, "provider": "openai", "tier": tier} for tier, id in enumerate(KEYS)],
        settings={"strategy": "fill_first"},
    )
    with flowgate.Supervisor({"provider": provider}, runtime_dir=directory / "run") as supervisor:
        (status,) = supervisor.start(timeout=30)
        if not status.running:
            raise SystemExit(status.last_error)
        url = f"http://127.0.0.1:{port}/v1/chat/completions"
        seen = "hello"
        for wish in WISHES:
            answer = think(pool, url, "thread-1", seen)
            print(f"{answer} It wants: {wish}")
            seen = act(guard, wish)
            print(f"  -> {seen}")
    for candidate in pool.explain(model="gpt-5"):
        print(f"{candidate.id}: {candidate.standing}, {candidate.why or 'well'}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(temporary))
