"""Keeps services up from a program of one's own, and tells what becomes of them.

    pip install ./flowgate-py && python examples/python/supervisor.py

One service is killed from outside, and is back before anybody asks.
"""

import asyncio
import os
import signal
import sys
import tempfile

import flowgate

#: A service that takes a moment, and one that waits for it.
WORKER = "import time; print('ready', flush=True); time.sleep(1000)"
SERVICES = {
    "queue": {"command": {"args": [sys.executable, "-c", WORKER]}, "readiness": {"log": "ready"}},
    "worker": {
        "command": {"args": [sys.executable, "-c", WORKER]},
        "readiness": {"log": "ready"},
        "restart": {"backoff": {"initial": "50ms"}},
        "depends_on": ["queue"],
    },
}


async def watch(events: flowgate.ServiceEvents, until: str) -> None:
    """Says what happens until this event has happened to the worker."""
    async for event in events:
        print(f"{event.ts} {event.service}: {event.event}")
        if (event.service, event.event) == ("worker", until):
            return


async def main(directory: str) -> None:
    async with flowgate.Supervisor(SERVICES, runtime_dir=directory) as supervisor:
        events = supervisor.events()
        _, (queue, worker) = await asyncio.gather(watch(events, "service.ready"), supervisor.start(timeout=30))
        assert queue.running and worker.running and worker.pid
        os.kill(worker.pid, signal.SIGKILL)
        await watch(events, "service.exited")
        await watch(events, "service.ready")
        for status in await supervisor.status():
            print(f"{status.name}: {status.public}, process {status.pid}, restarts {status.restarts}")
    # Here everything is down again, in order: the worker first.


with tempfile.TemporaryDirectory() as temporary:
    asyncio.run(main(temporary))
