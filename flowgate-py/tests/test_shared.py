"""Pools that several processes share, through a real server."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import unittest
from pathlib import Path
from typing import Any

import flowgate

PROGRAM = shutil.which("valkey-server") or shutil.which("redis-server")
CONFIG = """
config_version: 2
accounts:
  strategy: fill_first
  pool: [{{id: a, provider: openai}}, {{id: b, provider: openai}}]
  shared: {{url: "redis://127.0.0.1:{port}", name: {name}, mode: {mode}, timeout: 5s}}
"""


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


@unittest.skipIf(PROGRAM is None, "neither valkey-server nor redis-server is on the PATH")
class Shared(unittest.TestCase):
    server: subprocess.Popen[bytes]
    directory: tempfile.TemporaryDirectory[str]
    port: int

    @classmethod
    def setUpClass(cls) -> None:
        cls.directory = tempfile.TemporaryDirectory()
        cls.port = free_port()
        command = [PROGRAM or "", "--bind", "127.0.0.1", "--port", str(cls.port)]
        command += ["--save", "", "--dir", cls.directory.name]
        cls.server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        end = time.monotonic() + 20
        while time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", cls.port)).close()
                return
            except OSError:
                time.sleep(0.01)
        raise AssertionError("the server does not start")

    @classmethod
    def tearDownClass(cls) -> None:
        cls.server.kill()
        cls.server.wait()
        cls.directory.cleanup()

    def config(self, mode: str = "local", port: int | None = None) -> flowgate.Config:
        text = CONFIG.format(port=port or self.port, mode=mode, name=self.id().rsplit(".", 1)[-1])
        return flowgate.Config.from_yaml(text)

    def pool(self, mode: str = "local") -> flowgate.Pool:
        pool = flowgate.Pool.from_config(self.config(mode))
        self.addCleanup(pool.leave)
        status = pool.settled()
        assert status is not None
        self.assertEqual((status.state, status.mode), ("shared", mode), status)
        return pool

    def until(self, holds: Any) -> None:
        end = time.monotonic() + 20
        while not holds():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.002)

    def test_what_one_learns_the_other_knows(self) -> None:
        one, two = self.pool(), self.pool()
        with one.lease() as lease:
            lease.report(429, {"retry-after": "60"})
        first = lease.account
        self.until(lambda: {c.id: c.standing for c in two.explain()}[first] == "waiting")
        with two.lease() as lease:
            self.assertNotEqual(lease.account, first)
            lease.report(200)

    def test_who_waits_hears_of_the_others(self) -> None:
        one, two = self.pool(), self.pool()
        for id in one.accounts:
            one.set_enabled(id, id == "a")
            two.set_enabled(id, id == "a")
        with one.lease() as lease:
            lease.report(401)
        self.until(lambda: two.explain()[0].lifecycle == "needs_refresh")
        served: list[str] = []

        async def wait() -> None:
            async with two.lease(timeout=60) as lease:
                served.append(lease.account)
                lease.report(200)

        # An account whose credential was refused rests for 30 seconds, unless it is refreshed.
        thread = threading.Thread(target=lambda: asyncio.run(wait()))
        begun = time.monotonic()
        thread.start()
        self.until(lambda: two._waiters)
        refresh = one._refresh_begin("a")
        assert refresh is not None
        self.assertTrue(one._refresh_end(refresh, "done"))
        thread.join()
        self.assertEqual(served, ["a"])
        self.assertLess(time.monotonic() - begun, 25)

    def test_strict_pools_take_turns_with_and_without_an_event_loop(self) -> None:
        one, two = self.pool("strict"), self.pool("strict")
        served = []
        for pool in (one, two):
            with pool.lease() as lease:
                served.append(lease.account)
                lease.report(200)

        async def turn(pool: flowgate.Pool) -> None:
            async with pool.lease() as lease:
                served.append(lease.account)
                lease.report(200)

        async def turns() -> None:
            for pool in (one, two):
                await turn(pool)

        asyncio.run(turns())
        self.assertEqual(sorted(served[:2]), ["a", "b"])
        self.assertEqual(served[2:], served[:2])
        self.assertEqual((one.inflight, two.inflight), (0, 0))

    def test_whoever_stops_waiting_keeps_no_account(self) -> None:
        pool = self.pool("strict")

        async def cancelled() -> None:
            lease = pool.lease()
            task = asyncio.ensure_future(lease.__aenter__())
            await asyncio.sleep(0)
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task

        asyncio.run(cancelled())
        self.until(lambda: pool.inflight == 0)

    def test_of_two_processes_one_refreshes(self) -> None:
        script = """
            import sys, time
            import flowgate

            config, count, key = sys.argv[1:]
            pool = flowgate.Pool.from_config(flowgate.Config.load(config))
            assert pool.settled().state == "shared", pool.shared

            def refresh(account):
                with open(count, "a") as file:
                    file.write(account + "\\n")
                time.sleep(0.2)
                with open(key, "w") as file:
                    file.write("new")
                return True

            print("ready", flush=True)
            sys.stdin.readline()
            for lease in pool.attempts(timeout=60, refresh=refresh):
                with lease:
                    used = open(key).read()
                    lease.report(200 if used == "new" else 401)
            print(used, lease.verdict.served, flush=True)
        """
        with tempfile.TemporaryDirectory() as directory:
            count, key = Path(directory, "count"), Path(directory, "key")
            key.write_text("old")
            config = Path(directory, "flowgate.yaml")
            one = CONFIG.replace(", {{id: b, provider: openai}}", "")
            config.write_text(one.format(port=self.port, mode="local", name="refresh"))
            paths = [str(config), str(count), str(key)]
            command = [sys.executable, "-c", textwrap.dedent(script), *paths]
            pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            both: list[Any] = [subprocess.Popen(command, **pipes) for _ in range(2)]
            for process in both:
                self.assertEqual(process.stdout.readline(), "ready\n")
            for process in both:
                process.stdin.write("go\n")
                process.stdin.flush()
            for process in both:
                said, _ = process.communicate(timeout=60)
                self.assertEqual(said, "new True\n")
            self.assertEqual(count.read_text(), "a\n")

    def test_without_a_server_a_pool_decides_alone_and_says_so(self) -> None:
        pool = flowgate.Pool.from_config(self.config("strict", free_port()))
        status = pool.settled()
        assert status is not None
        self.assertEqual(status.state, "degraded")
        self.assertTrue(status.error)
        with pool.lease() as lease:
            lease.report(200)
        self.assertEqual(lease.account, "a")

    @unittest.skipUnless(hasattr(os, "fork"), "this system does not fork")
    def test_a_fork_is_told_so(self) -> None:
        pool = self.pool()
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                pool.lease().__enter__()
            except flowgate.AccountsError as error:
                os.write(writer, error.code.encode())
            os._exit(0)
        os.waitpid(child, 0)
        self.assertEqual(os.read(reader, 100), b"accounts.forked")
        os.close(reader)
        os.close(writer)


class Alone(unittest.TestCase):
    def test_a_pool_of_a_configuration(self) -> None:
        text = (
            "accounts: {strategy: fill_first, pool: [{id: a, provider: x}, {id: b, provider: x}],"
            " rules: [{status: [418], class: quota}]}"
        )
        pool = flowgate.Pool.from_config(flowgate.Config.from_yaml("config_version: 2\n" + text))
        self.assertEqual(pool.accounts, ["a", "b"])
        self.assertIsNone(pool.shared)
        with pool.lease() as lease:
            self.assertEqual(lease.report(418).class_, "quota")
        again = flowgate.Pool.from_config(
            flowgate.Config.from_yaml("config_version: 2\n" + text), state=pool.snapshot()
        )
        with again.lease() as lease:
            self.assertEqual(lease.account, "b")
        with self.assertRaises(flowgate.AccountsError):
            flowgate.Pool.from_config(flowgate.Config.from_yaml("config_version: 2\n"), state="{}")


if __name__ == "__main__":
    unittest.main()
