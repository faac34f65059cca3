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

A child writes its number to a file as its first act, and that is watched for. What the children
themselves take is in every number: `floor` starts them without any supervisor.
"""

import argparse
import json
import os
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
FLOOD = "yes 'a line of a hundred and twenty bytes, as programs write them all day long, with numbers such as 1234567890 in them.' | head -c 1073741824; touch \"$0\"; exec sleep 100000"


def born(mark, old=None, limit=60):
    """When another child than the old one was seen to have written this mark, as seconds of the wall
    clock, and its number. The time of the file itself is that of the last tick of the kernel, which
    may be before the kill."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        try:
            text = Path(mark).read_text()
            # It is there before all of it is.
            if text.endswith("\n") and (pid := int(text)) != old:
                return time.time(), pid
        except (FileNotFoundError, ValueError):
            pass
        time.sleep(0.0001)
    raise TimeoutError(mark)


class Supervisor:
    def __init__(self, root, flowgate):
        self.root, self.flowgate = Path(root), flowgate
        self.process = None

    def run(self, *command, **more):
        return subprocess.run(
            command, cwd=self.root, env=self.env(), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, **more)

    def env(self):
        return os.environ

    def spawn(self, *command):
        self.process = subprocess.Popen(
            command, cwd=self.root, env=self.env(), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

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
        self.run(self.flowgate, "service", "restart", name)

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
        self.run("supervisorctl", "-c", f"{self.root}/conf", "restart", name)

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
        self.run("pm2", "restart", name)

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
        one, mark = kind(root, options.flowgate), f"{root}/one"
        one.start([("one", CHILD, mark)])
        _, pid = born(mark)
        crash, command = [], []
        for _ in range(options.runs):
            time.sleep(1.2)
            before = time.time()
            os.kill(pid, signal.SIGKILL)
            began, pid = born(mark, pid)
            crash.append(began - before)
        for _ in range(max(options.runs // 3, 1)):
            time.sleep(1.2)
            before = time.time()
            one.restart("one")
            began, pid = born(mark, pid)
            command.append(began - before)
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
        marks = [f"{root}/m{n}" for n in range(100)]
        before = time.time()
        many.start([(f"s{n}", CHILD, mark) for n, mark in enumerate(marks)])
        found = [born(mark) for mark in marks]
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
        flood, mark = kind(root, options.flowgate), f"{root}/flood"
        before = time.time()
        flood.start([("flood", FLOOD, mark)])
        end = time.monotonic() + 300
        seen = []
        while not os.path.exists(mark) and time.monotonic() < end:
            time.sleep(0.02)
            try:
                seen.append(memory(flood.pid(), "VmRSS", "status"))
            except (OSError, ValueError):
                pass
        result["flood"] = {"mb_per_s": round(1024 / (os.stat(mark).st_mtime - before)),
                           # To start takes memory, too, for a moment.
                           "peak_rss_mb": round(max(seen[len(seen) // 2:], default=0.0), 1)}
        flood.stop()
        flood.end()
    return result


def floor(options):
    """What the children take by themselves, started by this script."""
    def start(mark):
        return subprocess.Popen(["sh", "-c", CHILD, mark])

    one = []
    with tempfile.TemporaryDirectory() as root:
        for number in range(options.runs):
            before = time.time()
            child = start(f"{root}/{number}")
            one.append(born(f"{root}/{number}")[0] - before)
            child.kill()
            child.wait()
    with tempfile.TemporaryDirectory() as root:
        marks = [f"{root}/m{n}" for n in range(100)]
        before = time.time()
        children = [start(mark) for mark in marks]
        hundred = max(born(mark)[0] for mark in marks) - before
        for child in children:
            child.kill()
            child.wait()
    with tempfile.TemporaryDirectory() as root, open(f"{root}/log", "wb") as log:
        before = time.time()
        child = subprocess.Popen(["sh", "-c", FLOOD, f"{root}/flood"], stdout=log)
        while not os.path.exists(f"{root}/flood"):
            time.sleep(0.02)
        flood = 1024 / (os.stat(f"{root}/flood").st_mtime - before)
        child.kill()
        child.wait()
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
