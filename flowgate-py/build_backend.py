"""Builds the package with maturin, and puts the program ``flowgate`` into it.

A wheel holds the program as a script, so that ``flowgate`` is on the path once it is installed, and
starts without an interpreter; an sdist holds its sources beside those of the library.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import maturin
from maturin import get_requires_for_build_editable as get_requires_for_build_editable
from maturin import get_requires_for_build_sdist as get_requires_for_build_sdist
from maturin import get_requires_for_build_wheel as get_requires_for_build_wheel
from maturin import prepare_metadata_for_build_wheel as prepare_metadata_for_build_wheel

HERE = Path(__file__).resolve().parent
# The repository, or the root of an sdist, where this file stands beside the workspace.
WORKSPACE = HERE if (HERE / "flowgate-cli").is_dir() else HERE.parent


def build_wheel(directory: str, settings: Any = None, metadata: str | None = None) -> str:
    build_program()
    return maturin.build_wheel(directory, settings, metadata)


def build_editable(directory: str, settings: Any = None, metadata: str | None = None) -> str:
    build_program()
    return maturin.build_editable(directory, settings, metadata)


def build_sdist(directory: str, settings: Any = None) -> str:
    name: str = maturin.build_sdist(directory, settings)
    add_program(Path(directory) / name)
    return name


def build_program() -> None:
    """Builds the program, and puts it where maturin looks for scripts: beside the module's name."""
    command = ["cargo", "build", "--release", "--package", "flowgate-cli"]
    command += ["--message-format", "json-render-diagnostics"]
    built = subprocess.run(command, cwd=WORKSPACE, stdout=subprocess.PIPE, check=True)
    messages = [json.loads(line) for line in built.stdout.splitlines()]
    programs = [message["executable"] for message in messages if message.get("executable")]
    scripts = HERE / "flowgate._flowgate.data" / "scripts"
    scripts.mkdir(parents=True, exist_ok=True)
    shutil.copy2(programs[-1], scripts)


def add_program(sdist: Path) -> None:
    """Adds the sources of the program to an sdist, and this file where its pyproject.toml is."""
    new = sdist.with_suffix(".new")
    root = sdist.name.removesuffix(".tar.gz")
    with tarfile.open(sdist) as old, tarfile.open(new, "w:gz") as archive:
        for member in old:
            content = old.extractfile(member)
            data = content.read() if content else b""
            if member.name == f"{root}/Cargo.toml":
                data = re.sub(rb"(?m)^members = \[", b'members = ["flowgate-cli", ', data)
                member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        archive.add(__file__, f"{root}/build_backend.py")
        for file in program_sources():
            archive.add(file, f"{root}/{file.relative_to(WORKSPACE)}")
    os.replace(new, sdist)


def program_sources() -> Iterator[Path]:
    program = WORKSPACE / "flowgate-cli"
    yield from (program / "Cargo.toml", program / "build.rs")
    yield from sorted((program / "src").rglob("*.rs"))
