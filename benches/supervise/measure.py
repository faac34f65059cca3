#!/usr/bin/env python3
"""Measures supervisors side by side, each with the same children.

    cargo build --release -p flowgate-cli
    pip install supervisor; npm install -g pm2      # those that are missing are left out
    python3 benches/supervise/measure.py [--flowgate target/release/flowgate] [--runs 30]

crash      `kill -9` of the child until the first instruction of the next one, without backoff
command    the restart command, until the first instruction of the next one
start_100  the start command, until the first instruction of the last of 100 children
stop_100   the stop command, until the last of them is gone (gone), and until it returns (command)
idle       memory of the supervisor (RSS) and of what else it runs (PSS), and how often it wakes up
flood      a gigabyte of lines through the log, as the child sees it, and the memory of the supervisor

A child writes its number to a named pipe as its first act, and that is waited for without looking
again and again: on two cores, who looks often enough takes one of them. What the children themselves
take is in every number: `floor` starts them without any supervisor.
"""

import argparse
import json
import os
import select
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

# A child that costs nothing to start: the shell is there everywhere.
CHILD = 'echo $$ > "$0"; exec sleep 100000'
FLOOD = "yes 'a line of a hundred and twenty bytes, as programs write them all day long, with numbers such as 1234567890 in them.' | head -c 1073741824; echo $$ > \"$0\"; exec sleep 100000"


class Mark:
    """Where children say that they are there: a pipe that they open by name."""

    def __init__(self, path):
        self.path, self.rest = path, b""
        os.mkfifo(path)
        # For writing as well: so nobody who opens it waits, and nothing ends when a child does.
        self.fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def born(self, old=None, limit=60):
        """The number of the next child that is not the old one, and when it was heard of; `None` if
        that takes longer than the limit, in seconds."""
        end = time.monotonic() + limit
        while (left := end - time.monotonic()) > 0 and select.select([self.fd], [], [], left)[0]:
            self.rest += os.read(self.fd, 4096)
            now = time.monotonic()
            while b"\n" in self.rest:
                line, self.rest = self.rest.split(b"\n", 1)
                if int(line) != old:
                    return now, int(line)
        return None


class Supervisor:
    def __init__(self, root, flowgate):
        self.root, self.flowgate = Path(root), flowgate
        self.process = None

    def begin(self, *command):
        return subprocess.Popen(
            command, cwd=self.root, env=self.env(), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def run(self, *command):
        self.begin(*command).wait()

    def env(self):
        return os.environ

    def spawn(self, *command):
        self.process = self.begin(*command)

    def pid(self):
        return self.process.pid

    def others(self):
        """What else it runs, without the children themselves."""
        return []

    def end(self):
        self.process.terminate()
        self.process.wait(120)


class FlowGate(Supervisor):
    name = "flowgate"

    def start(self, children):
        services = {
            name: {
                "command": {"args": ["sh", "-c", script, mark]},
                "readiness": {"alive": "1ms"},
                "restart": {"backoff": {"initial": "0ms"}, "max_restarts": 100000},
            }
            for name, script, mark in children
        }
        (self.root / "flowgate.yaml").write_text(
            json.dumps({"config_version": 2, "services": services}))
        self.spawn(self.flowgate, "up")

    def restart(self, name):
        return self.begin(self.flowgate, "service", "restart", name)

    def stop(self):
        self.run(self.flowgate, "down")

    def others(self):
        found, left = [], [self.pid()]
        while left:
            for child in children_of(left.pop()):
                if "shim" in cmdline(child):
                    found.append(child)
                    left.append(child)
        return found


class Supervisord(Supervisor):
    name = "supervisord"

    def start(self, children):
        text = (f"[supervisord]\nnodaemon=true\nlogfile={self.root}/log\npidfile={self.root}/pid\n"
                f"[unix_http_server]\nfile={self.root}/sock\n[supervisorctl]\nserverurl=unix://{self.root}/sock\n"
                "[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n")
        for name, script, mark in children:
            file = self.root / f"{name}.sh"
            file.write_text(script)
            text += f"[program:{name}]\ncommand=sh {file} {mark}\nstopasgroup=true\nkillasgroup=true\n"
            file.write_text(script.replace("$0", "$1"))
        (self.root / "conf").write_text(text)
        self.spawn("supervisord", "-c", f"{self.root}/conf")

    def restart(self, name):
        return self.begin("supervisorctl", "-c", f"{self.root}/conf", "restart", name)

    def stop(self):
        self.run("supervisorctl", "-c", f"{self.root}/conf", "shutdown")
        self.process.wait(120)


class Pm2(Supervisor):
    name = "pm2"

    def env(self):
        return {**os.environ, "PM2_HOME": str(self.root / "pm2")}

    def start(self, children):
        apps = []
        for name, script, mark in children:
            file = self.root / f"{name}.sh"
            file.write_text(script.replace("$0", "$1"))
            apps.append({"name": name, "script": str(file), "interpreter": "sh", "args": [mark],
                         "max_restarts": 100000, "min_uptime": 0})
        (self.root / "apps.json").write_text(json.dumps({"apps": apps}))
        self.run("pm2", "start", "apps.json")

    def pid(self):
        return int((self.root / "pm2/pm2.pid").read_text())

    def restart(self, name):
        return self.begin("pm2", "restart", name)

    def stop(self):
        self.run("pm2", "kill")

    def end(self):
        self.stop()


def cmdline(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def children_of(pid):
    try:
        return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def memory(pid, key, file="smaps_rollup"):
    for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) / 1024
    return 0.0


def wakeups(pids):
    total = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for line in (task / "status").read_text().splitlines():
                if line.startswith("voluntary_ctxt_switches"):
                    total += int(line.split()[1])
    return total


def gone(pids, limit=120):
    end = time.monotonic() + limit
    while time.monotonic() < end and any(os.path.exists(f"/proc/{pid}") for pid in pids):
        time.sleep(0.0005)


def spread(times):
    times = sorted(times)
    return {"median_ms": round(statistics.median(times) * 1000, 2),
            "p95_ms": round(times[int(len(times) * 0.95) - 1] * 1000, 2)}


def measure(kind, options):
    result = {}
    with tempfile.TemporaryDirectory() as root:
        one, mark = kind(root, options.flowgate), Mark(f"{root}/one")
        one.start([("one", CHILD, mark.path)])
        _, pid = mark.born()
        crash, command = [], []
        for _ in range(options.runs):
            time.sleep(1.2)
            before = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            began, pid = mark.born(pid)
            crash.append(began - before)
        for _ in range(max(options.runs // 3, 1)):
            time.sleep(1.2)
            before = time.monotonic()
            restart = one.restart("one")
            began, pid = mark.born(pid)
            command.append(began - before)
            restart.wait()
        # Until nothing is expected any more: after ten seconds a failure is forgotten.
        time.sleep(15)
        seen = wakeups([one.pid(), *one.others()])
        time.sleep(10)
        result["crash"], result["command"] = spread(crash), spread(command)
        others = one.others()
        result["idle"] = {
            "rss_mb": round(memory(one.pid(), "Rss"), 2),
            "others_pss_mb": [round(memory(pid, "Pss"), 2) for pid in others],
            "wakeups_per_s": (wakeups([one.pid(), *others]) - seen) / 10,
        }
        one.stop()
        one.end()
    with tempfile.TemporaryDirectory() as root:
        many = kind(root, options.flowgate)
        marks = [Mark(f"{root}/m{n}") for n in range(100)]
        before = time.monotonic()
        many.start([(f"s{n}", CHILD, mark.path) for n, mark in enumerate(marks)])
        # The last one first: whoever is woken by each of them is in the way of the rest.
        found = [mark.born() for mark in reversed(marks)]
        result["start_100_ms"] = round((max(began for began, _ in found) - before) * 1000, 1)
        time.sleep(3)
        others = many.others()
        result["idle_100"] = {
            "rss_mb": round(memory(many.pid(), "Rss"), 2),
            "other_pss_mb": round(sum(memory(pid, "Pss") for pid in others) / max(len(others), 1), 3),
        }
        before = time.monotonic()
        stopping = threading.Thread(target=many.stop)
        stopping.start()
        gone([pid for _, pid in found])
        result["stop_100_gone_ms"] = round((time.monotonic() - before) * 1000, 1)
        stopping.join()
        result["stop_100_command_ms"] = round((time.monotonic() - before) * 1000, 1)
        many.end()
    with tempfile.TemporaryDirectory() as root:
        flood, mark = kind(root, options.flowgate), Mark(f"{root}/flood")
        before = time.monotonic()
        flood.start([("flood", FLOOD, mark.path)])
        seen, over = [], None
        while not (over := mark.born(limit=0.02)) and time.monotonic() < before + 300:
            try:
                seen.append(memory(flood.pid(), "VmRSS", "status"))
            except (OSError, ValueError):
                pass
        result["flood"] = {"mb_per_s": round(1024 / (over[0] - before)),
                           # To start takes memory, too, for a moment.
                           "peak_rss_mb": round(max(seen[len(seen) // 2:], default=0.0), 1)}
        flood.stop()
        flood.end()
    return result


def floor(options):
    """What the children take by themselves, started by this script."""
    def start(script, mark, **more):
        return subprocess.Popen(["sh", "-c", script, mark.path], **more)

    def end(child):
        child.kill()
        child.wait()

    one = []
    with tempfile.TemporaryDirectory() as root:
        mark = Mark(f"{root}/one")
        for _ in range(options.runs):
            before = time.monotonic()
            child = start(CHILD, mark)
            one.append(mark.born()[0] - before)
            end(child)
    with tempfile.TemporaryDirectory() as root:
        marks = [Mark(f"{root}/m{n}") for n in range(100)]
        before = time.monotonic()
        children = [start(CHILD, mark) for mark in marks]
        hundred = max(mark.born()[0] for mark in reversed(marks)) - before
        for child in children:
            end(child)
    with tempfile.TemporaryDirectory() as root, open(f"{root}/log", "wb") as log:
        mark = Mark(f"{root}/flood")
        before = time.monotonic()
        child = start(FLOOD, mark, stdout=log)
        flood = 1024 / (mark.born()[0] - before)
        end(child)
    return {"start": spread(one), "start_100_ms": round(hundred * 1000, 1), "flood_mb_per_s": round(flood)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--flowgate", default="target/release/flowgate", type=os.path.abspath)
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--only")
    options = parser.parse_args()
    if options.only in (None, "floor"):
        print(json.dumps({"floor": floor(options)}), flush=True)
    for kind in (FlowGate, Supervisord, Pm2):
        program = options.flowgate if kind is FlowGate else kind.name
        if options.only not in (None, kind.name) or not shutil.which(program):
            continue
        print(json.dumps({kind.name: measure(kind, options)}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
