"""Services as real processes, supervised from Python."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import unittest
import warnings
from pathlib import Path
from typing import Any

import flowgate

#: A service that says when it is ready, and writes the number of its process.
READY = {"command": {"args": ["sh", "-c", "echo ready; exec sleep 100"]}, "readiness": {"log": "ready"}}
#: Longer than anything takes that is not at fault.
PATIENCE = 60.0


def is_there(pid: int | None) -> bool:
    return Path(f"/proc/{pid}").exists()


class Directory(unittest.TestCase):
    def setUp(self) -> None:
        if sys.platform != "linux":
            self.skipTest("services are supervised on Linux alone")
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.dir = Path(directory.name)

    def supervisor(self, services: Any, **more: Any) -> flowgate.Supervisor:
        return flowgate.Supervisor(services, runtime_dir=self.dir, **more)

    def run_python(self, code: str, **more: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-W", "error", "-c", textwrap.dedent(code), str(self.dir)],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            **more,
        )


class InThisProcess(Directory):
    def test_services_come_up_are_replaced_and_go_down(self) -> None:
        with self.supervisor({"a": READY, "b": {**READY, "depends_on": ["a"]}}) as s:
            self.assertEqual([status.public for status in s.status()], ["stopped", "stopped"])
            a, b = s.start()
            self.assertTrue(a.running and b.running and is_there(a.pid) and is_there(b.pid))
            self.assertEqual((a.name, a.state, a.want, a.restarts), ("a", "ready", "up", 0))
            (again,) = s.restart("b")
            self.assertNotEqual(again.pid, b.pid)
            self.assertFalse(is_there(b.pid))
            (stopped,) = s.stop("b")
            self.assertEqual((stopped.public, stopped.pid, stopped.last_exit), ("stopped", None, -15))
            self.assertEqual(s.log_file("a").read_text(), "ready\n")
            self.assertEqual(s.runtime_dir, self.dir)
        self.assertFalse(is_there(a.pid))
        with self.assertRaisesRegex(ValueError, "not open"):
            s.status()

    def test_one_that_is_killed_comes_back_and_the_events_tell(self) -> None:
        with self.supervisor({"a": READY}) as s:
            events = s.events()
            (before,) = s.start()
            assert before.pid is not None
            os.kill(before.pid, signal.SIGKILL)
            seen = []
            for event in events:
                seen.append(event)
                if event.event == "service.ready" and event.data["generation"] > before.generation:
                    break
            (after,) = s.status()
        self.assertEqual((after.restarts, after.public), (1, "running"))
        exited = next(event for event in seen if event.event == "service.exited")
        self.assertEqual((exited.service, exited.data["status"]), ("a", {"signal": 9}))
        self.assertEqual(exited.level, "warn")
        self.assertEqual([event.seq for event in seen], sorted({event.seq for event in seen}))
        self.assertEqual(pickle.loads(pickle.dumps(seen)), seen)
        self.assertEqual(pickle.loads(pickle.dumps(after)), after)
        self.assertIsInstance(hash(after), int)
        for event in events:  # what is left, and then the end: no wait for ever
            self.assertEqual(event.service, "a")

    def test_services_may_be_the_words_of_a_command_and_be_others_later(self) -> None:
        with self.supervisor({"a": ["sleep", "100"]}) as s:
            self.assertEqual([status.name for status in s.replace({"b": READY})], ["b"])

    def test_one_that_has_done_its_work_says_so(self) -> None:
        def job(code: int) -> Any:
            return {"command": {"args": ["sh", "-c", f"exit {code}"]}, "restart": {"policy": "never"}}

        with self.supervisor({"good": job(0), "bad": job(3), "on": READY}) as s:
            bad, good, on = s.start()
        self.assertEqual((bad.completed, good.completed, on.completed), (False, True, None))
        self.assertEqual((bad.last_exit, good.last_exit), (3, 0))

    def test_nothing_is_left_of_those_that_were_closed(self) -> None:
        def held() -> tuple[int, int]:
            return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))

        with self.supervisor({"a": READY}) as s:
            s.start()
        before = held()
        for _ in range(10):
            with self.supervisor({"a": READY}) as s, flowgate.SupervisorClient(self.dir) as client:
                events = client.events()
                s.start()
                next(events)
            del events
        begun = time.monotonic()
        while held() > before and time.monotonic() - begun < PATIENCE:
            time.sleep(0.01)  # a thread ends a moment after what it did
        after = held()
        self.assertLessEqual(after[0], before[0], "descriptors")
        self.assertLessEqual(after[1], before[1], "threads")

    def test_what_cannot_be_is_an_error_with_a_code(self) -> None:
        with self.assertRaises(flowgate.ConfigError) as wrong, self.supervisor({"a": {"prot": 1}}):
            pass
        self.assertEqual(wrong.exception.diagnostics[0].path, "services.a")
        cycle = {"a": {**READY, "depends_on": ["b"]}, "b": {**READY, "depends_on": ["a"]}}
        with self.assertRaises(flowgate.ConfigError), self.supervisor(cycle):
            pass
        with self.assertRaises(flowgate.SuperviseError) as unfit:
            self.supervisor({"a": READY}, program=sys.executable).open()
        self.assertEqual(unfit.exception.code, "supervise.no_shim")
        self.assertIn("flowgate 0.", str(unfit.exception))
        with self.supervisor({"a": READY}) as s:
            with self.assertRaises(flowgate.SuperviseError) as locked:
                self.supervisor({"a": READY}).open()
            self.assertEqual(locked.exception.code, "supervise.locked")
            self.assertIn(f"process {os.getpid()}", str(locked.exception))
            with self.assertRaises(flowgate.SuperviseError) as unknown:
                s.start("c")
            self.assertEqual(unknown.exception.code, "supervise.unknown_service")
            with self.assertRaises(TypeError):
                s.apply("cost")
            self.assertIsInstance(unknown.exception, RuntimeError)
            copy = pickle.loads(pickle.dumps(unknown.exception))
            self.assertEqual((copy.code, str(copy)), ("supervise.unknown_service", str(unknown.exception)))
        not_services: Any = "flowgate.yaml"
        for services, more in (({"a": READY}, {}), (not_services, {"runtime_dir": self.dir})):
            with self.assertRaises(TypeError):
                flowgate.Supervisor(services, **more)

    def test_a_wait_has_an_end(self) -> None:
        slow = {"command": {"args": ["sleep", "100"]}, "readiness": {"log": "never"}}
        with self.supervisor({"a": slow}) as s:
            with self.assertRaises(TimeoutError) as late:
                s.start(timeout=0.05)
            assert isinstance(late.exception, flowgate.SuperviseTimeout)
            self.assertEqual(late.exception.code, "control.timeout")
            self.assertEqual(s.status()[0].public, "starting")

    def test_many_threads_use_it_at_once(self) -> None:
        names = [f"s{number}" for number in range(8)]
        with self.supervisor({name: READY for name in names}) as s:
            found: dict[str, Any] = {}

            def work(name: str) -> None:
                s.start(name)
                found[name] = s.restart(name)[0]

            threads = [threading.Thread(target=work, args=[name]) for name in names]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        self.assertEqual({status.public for status in found.values()}, {"running"})
        self.assertEqual(sorted(found), names)

    def test_python_runs_while_a_service_comes_up(self) -> None:
        counted = 0
        over = threading.Event()

        def count() -> None:
            nonlocal counted
            while not over.is_set():
                counted += 1

        thread = threading.Thread(target=count)
        with self.supervisor({"a": {**READY, "readiness": {"alive": "300ms"}}}) as s:
            thread.start()
            s.start()
            over.set()
            thread.join()
        self.assertGreater(counted, 1_000)

    def test_the_services_of_a_configuration_change_with_its_file(self) -> None:
        file = self.dir / "flowgate.yaml"
        text = "config_version: 2\nservices:\n  a: {command: {args: [sleep, '100']}, readiness: {alive: 1ms}}\n"
        file.write_text(text)
        with flowgate.Supervisor(flowgate.Config.load(file)) as s:
            self.assertEqual(s.runtime_dir, self.dir / ".router/runtime")
            (before,) = s.start()
            file.write_text(text + "  b: {command: {args: [sleep, '100']}, readiness: {alive: 1ms}}\n")
            planned = s.apply(dry_run=True)
            self.assertEqual(planned.outcome, "planned")
            self.assertEqual([(step.service, step.action) for step in planned.plan], [("b", "start")])
            self.assertEqual(len(s.status()), 1)
            self.assertEqual(s.apply().outcome, "committed")
            after, new = s.status()
            self.assertEqual((after.pid, new.public), (before.pid, "running"))
            file.write_text("config_version: 2\nservices: [\n")
            failed = s.apply()
            self.assertEqual((failed.outcome, len(s.status())), ("rolled_back", 2))
            self.assertIn("flowgate.yaml", failed.why or "")
        log = (self.dir / ".router/runtime/events.log").read_text()
        self.assertIn('"service.ready"', log)


class Async(Directory):
    def test_the_calls_are_awaited(self) -> None:
        async def main() -> None:
            async with self.supervisor({"a": READY, "b": READY}) as s:
                events = s.events()
                ticks = 0

                async def tick() -> None:
                    nonlocal ticks
                    while True:
                        ticks += 1
                        await asyncio.sleep(0)

                ticking = asyncio.create_task(tick())
                a, b = await asyncio.gather(s.start("a"), s.start("b"))
                ticking.cancel()
                self.assertGreater(ticks, 1)
                self.assertTrue(a[0].running and b[0].running)
                ready = set()
                async for event in events:
                    if event.event == "service.ready":
                        ready.add(event.service)
                    if len(ready) == 2:
                        break
                self.assertFalse((await s.restart("a"))[0].pid == a[0].pid)
                self.assertEqual(len(await s.replace({"a": READY})), 1)
                self.assertEqual((await s.status())[0].name, "a")
            self.assertEqual([event.event async for event in events if event.event == "x"], [])
            self.assertFalse(is_there(a[0].pid))

        asyncio.run(main())

    def test_a_wait_that_is_given_up_loses_no_event(self) -> None:
        async def main() -> None:
            async with self.supervisor({"a": READY}) as s:
                events = s.events()
                starting = asyncio.create_task(s.start())
                seen: list[flowgate.ServiceEvent] = []
                given_up = 0
                while not seen or seen[-1].event != "service.ready":
                    try:
                        seen.append(await asyncio.wait_for(events.__anext__(), 0.0005))
                    except asyncio.TimeoutError:
                        given_up += 1
                await starting
                self.assertEqual([event.seq for event in seen], list(range(1, len(seen) + 1)))
                self.assertGreater(given_up, 0)

        asyncio.run(main())

    def test_a_loop_that_ends_early_leaves_nothing_behind(self) -> None:
        pids = []

        async def main() -> None:
            async with self.supervisor({"a": READY}) as s:
                pids.append((await s.start())[0].pid)
                task = asyncio.current_task()
                assert task is not None
                asyncio.get_running_loop().call_later(0.01, task.cancel)
                await s.wait()

        with self.assertRaises(asyncio.CancelledError):
            asyncio.run(main())
        self.assertFalse(is_there(pids[0]))


class AnotherProcess(Directory):
    def test_one_that_runs_is_spoken_to(self) -> None:
        with self.supervisor({"a": READY}) as s, flowgate.SupervisorClient(self.dir) as client:
            events = client.events()
            (status,) = client.start()
            self.assertEqual(status.pid, s.status()[0].pid)
            self.assertIn("service.spawned", [next(events).event for _ in range(3)])
            client.shutdown()
            s.wait()
            self.assertFalse(is_there(status.pid))
            with self.assertRaises(flowgate.SuperviseError) as ended:
                client.status()
            self.assertIn(ended.exception.code, ("control.not_running", "control.ending"))
        with self.assertRaises(flowgate.SuperviseError) as none:
            flowgate.SupervisorClient(self.dir).open()
        self.assertEqual(none.exception.code, "control.not_running")

    def test_one_that_flowgate_up_started_is_spoken_to(self) -> None:
        file = self.dir / "flowgate.yaml"
        file.write_text(
            "config_version: 2\nservices:\n  a: {command: {args: [sleep, '100']}, readiness: {alive: 1ms}}\n"
        )
        program = [sys.executable, "-m", "flowgate", "--config", str(file)]
        subprocess.run([*program, "up", "--detach"], check=True, capture_output=True)
        try:
            config = flowgate.Config.load(file)

            async def main() -> None:
                async with flowgate.SupervisorClient(config) as client:
                    (status,) = await client.status()
                    self.assertEqual((status.name, status.public), ("a", "running"))
                    self.assertEqual((await client.apply(dry_run=True)).plan, ())
                    with self.assertRaises(TypeError):
                        await client.replace({"a": READY})

            asyncio.run(main())
        finally:
            subprocess.run([*program, "down"], check=True, capture_output=True)

    def test_what_a_killed_program_left_is_taken_over(self) -> None:
        ran = self.run_python(
            """
            import os, signal, sys, flowgate
            a = {"command": {"args": ["sleep", "100"]}, "readiness": {"alive": "1ms"}}
            s = flowgate.Supervisor({"a": a}, runtime_dir=sys.argv[1]).open()
            print(s.start()[0].pid, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
            """
        )
        pid = int(ran.stdout)
        self.assertTrue(is_there(pid))
        with self.supervisor({"a": ["sleep", "100"]}) as s:
            (status,) = s.status()
            self.assertEqual(status.pid, pid)
        self.assertFalse(is_there(pid))


class Ends(Directory):
    """However the program ends that the supervisor is in."""

    def test_a_program_that_just_ends_takes_its_services_along(self) -> None:
        ran = self.run_python(
            """
            import sys, flowgate
            a = {"command": {"args": ["sleep", "100"]}, "readiness": {"alive": "1ms"}}
            s = flowgate.Supervisor({"a": a}, runtime_dir=sys.argv[1]).open()
            client = flowgate.SupervisorClient(sys.argv[1]).open()
            events = client.events()
            print(s.start()[0].pid)
            """
        )
        self.assertEqual((ran.returncode, ran.stderr), (0, ""))
        self.assertFalse(is_there(int(ran.stdout)))

    def test_ctrl_c_ends_a_wait_and_stops_in_order(self) -> None:
        code = """
            import sys, flowgate
            service = {"command": {"args": ["sh", "-c", "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done"]},
                       "readiness": {"log": "ready"}}
            with flowgate.Supervisor({"a": service}, runtime_dir=sys.argv[1]) as s:
                print(s.start()[0].pid, flush=True)
                WAIT
            """
        waits = ["s.wait()", "list(s.events())", "s.start('a', timeout=None); s.wait()"]
        for number, wait in enumerate(waits):
            with self.subTest(wait):
                program = subprocess.Popen(
                    [sys.executable, "-c", textwrap.dedent(code.replace("WAIT", wait)), str(self.dir)],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
                assert program.stdout is not None
                pid = int(program.stdout.readline())
                # So that it waits by now; a moment earlier would be as good.
                time.sleep(0.05)
                program.send_signal(signal.SIGINT)
                _, said = program.communicate(timeout=PATIENCE)
                self.assertIn("KeyboardInterrupt", said)
                self.assertFalse(is_there(pid))
                log = (self.dir / "logs/a.log").read_text()
                self.assertEqual(log.count("bye"), number + 1, "it was not asked to end")

    def test_ctrl_c_twice_forces(self) -> None:
        program = subprocess.Popen(
            [
                sys.executable,
                "-c",
                textwrap.dedent(
                    """
                    import sys, flowgate
                    service = {"command": {"args": ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"]},
                               "readiness": {"log": "ready"}, "stop": {"timeout": "60s"}}
                    with flowgate.Supervisor({"a": service}, runtime_dir=sys.argv[1]) as s:
                        print(s.start()[0].pid, flush=True)
                        events = s.events()
                        try:
                            s.wait()
                        finally:
                            import threading
                            threading.Thread(target=lambda: [print(e.event, flush=True) for e in events]).start()
                    """
                ),
                str(self.dir),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert program.stdout is not None
        pid = int(program.stdout.readline())
        time.sleep(0.05)
        program.send_signal(signal.SIGINT)
        while program.stdout.readline() != "service.stopping\n":
            pass
        program.send_signal(signal.SIGINT)
        begun = time.monotonic()
        program.communicate(timeout=PATIENCE)
        self.assertLess(time.monotonic() - begun, 30)
        self.assertFalse(is_there(pid))

    def test_a_fork_has_no_part_in_it(self) -> None:
        with self.supervisor({"a": READY}) as s:
            (status,) = s.start()
            events = s.events()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                child = os.fork()
            if child == 0:
                signal.alarm(30)
                codes = []
                for call in (s.status, lambda: next(events), s.events):
                    try:
                        call()
                    except flowgate.SuperviseError as error:
                        codes.append(error.code)
                s.close()
                with flowgate.SupervisorClient(self.dir) as client:
                    fine = client.status()[0].running
                del s, events
                os._exit(0 if fine and codes == ["control.forked"] * 3 else 1)
            self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)
            self.assertEqual(s.status()[0].pid, status.pid)

    def test_a_fork_that_ends_takes_nothing_along(self) -> None:
        ran = self.run_python(
            """
            import os, sys, flowgate
            a = {"command": {"args": ["sleep", "100"]}, "readiness": {"alive": "1ms"}}
            s = flowgate.Supervisor({"a": a}, runtime_dir=sys.argv[1]).open()
            s.start()
            sys.stdout.flush()
            import warnings; warnings.simplefilter("ignore")
            child = os.fork()
            if child == 0:
                sys.exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            print(s.status()[0].public)
            """
        )
        self.assertEqual((ran.stdout, ran.stderr), ("running\n", ""))


if __name__ == "__main__":
    unittest.main()
