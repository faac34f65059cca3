"""Runs commands as subprocess.run does, unless they would destroy something.

    pip install ./flowgate-py && python examples/python/guard_subprocess.py
"""

import flowgate

guard = flowgate.Guard()

print(guard.run(["echo", "rm -rf / is but a text here"], capture_output=True, text=True).stdout)

try:
    guard.run("X=/; sudo rm -rf $X")
except flowgate.Denied as denied:
    start, end = denied.verdict.span or (0, 0)
    print(f"{denied.command[start:end]}: {denied}")
    print(denied.verdict.suggestion)
else:
    raise SystemExit("the guard did not stop it")
