"""``python -m flowgate`` is the program ``flowgate``."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import NoReturn

from ._binary import find
from .exceptions import FlowgateError


def main() -> NoReturn:
    try:
        program = find()
    except FlowgateError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(3)
    command = [program, *sys.argv[1:]]
    if os.name == "nt":
        sys.exit(subprocess.run(command).returncode)
    # Takes the place of this process, so that signals and exit codes are those of the program.
    os.execv(program, command)


if __name__ == "__main__":
    main()
