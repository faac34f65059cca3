"""What the package does to the process around it: the program, forks, other processes, threads."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import unittest
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import flowgate
from flowgate import _binary

#: A program that says what it was asked, and ends as it is told.
PROGRAM = '#!/bin/sh\necho "$@"\n[ "$1" = wait ] && exec sleep 60\nexit "$1"\n'


@unittest.skipIf(os.name == "nt", "the program is a shell script")
class Program(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.program = Path(directory.name, "flowgate")
        self.program.write_text(PROGRAM)
        self.program.chmod(0o755)

    def run_module(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "flowgate", *arguments],
            env={**os.environ, **env},
            capture_output=True,
            text=True,
        )

    def test_the_module_is_the_program(self) -> None:
        ran = self.run_module("7", "a b", FLOWGATE_BINARY=str(self.program))
        self.assertEqual((ran.returncode, ran.stdout), (7, "7 a b\n"))

    def test_signals_reach_the_program(self) -> None:
        module = subprocess.Popen(
            [sys.executable, "-m", "flowgate", "wait"],
            env={**os.environ, "FLOWGATE_BINARY": str(self.program)},
            stdout=subprocess.PIPE,
        )
        assert module.stdout is not None
        with module.stdout:
            self.assertEqual(module.stdout.readline(), b"wait\n")
            module.terminate()
            self.assertEqual(module.wait(10), -15)

    def test_without_a_program_one_error_says_what_was_tried(self) -> None:
        ran = self.run_module("x", FLOWGATE_BINARY=str(self.program) + "-gone")
        self.assertEqual(ran.returncode, 3)
        self.assertIn("FLOWGATE_BINARY is not a program", ran.stderr)

    def test_the_path_comes_last(self) -> None:
        environment = dict(os.environ)
        self.addCleanup(os.environ.update, environment)
        self.addCleanup(os.environ.clear)
        os.environ.pop("FLOWGATE_BINARY", None)
        os.environ["PATH"] = str(self.program.parent)
        installed = [d / "flowgate" for d in _binary._script_directories()]
        found = Path(_binary.find())
        self.assertIn(found, [*installed, self.program])
        if found == self.program:
            self.program.unlink()
            with self.assertRaises(flowgate.FlowgateError) as raised:
                _binary.find()
            self.assertEqual(raised.exception.code, "binary.missing")


def verdict_of(command: str) -> flowgate.Verdict:
    return flowgate.Guard().check(command, cwd="/w", home="/h")


class OtherProcesses(unittest.TestCase):
    def test_values_cross_and_handles_do_not(self) -> None:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=context) as others:
            verdict = others.submit(verdict_of, "rm -rf /").result(60)
        self.assertEqual(verdict, verdict_of("rm -rf /"))
        config = flowgate.Config.from_yaml(flowgate.STARTER)
        supervisor = flowgate.Supervisor({}, runtime_dir=".")
        for handle in (config, config.profile("cost"), flowgate.Guard(), flowgate.Pool(), supervisor):
            with self.assertRaises(TypeError):
                pickle.dumps(handle)

    @unittest.skipUnless(hasattr(os, "fork"), "there is no fork here")
    def test_everything_works_after_a_fork(self) -> None:
        guard = flowgate.Guard()
        config = flowgate.Config.from_yaml(flowgate.STARTER)
        pool = flowgate.Pool([{"id": "a"}])
        over = threading.Event()

        def work() -> None:
            while not over.is_set():
                guard.check_batch(["rm -rf /"] * 100)
                with pool.lease() as lease:
                    lease.report(200)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            children = [self.fork(guard, config, pool) for _ in range(10)]
            statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        finally:
            over.set()
            for thread in threads:
                thread.join()
        self.assertEqual(statuses, [0] * 10)

    def fork(self, guard: flowgate.Guard, config: flowgate.Config, pool: flowgate.Pool) -> int:
        sys.stdout.flush()
        # Newer Pythons warn of threads, which is what this is about.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child:
            return child
        try:
            signal.alarm(30)
            fine = guard.check("rm -rf /").decision == "deny"
            fine &= config.profile("cost").to_dict() != {}
            with pool.lease(timeout=10) as lease:
                fine &= lease.report(200).served
            os._exit(0 if fine else 1)
        except BaseException:
            os._exit(2)


if __name__ == "__main__":
    unittest.main()
