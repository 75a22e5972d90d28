"""Finds and runs the tools of Prometheus, as ``make setup`` leaves them."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.wait import patience

DEADLINE = 60.0  # seconds


def find_tool(name: str) -> str:
    """
    Return the path of promtool, amtool, prometheus or alertmanager.

    The environment may name it (``RECONCILER_PROMTOOL`` and so on). Without the tool
    the test is skipped, or fails where nothing may be skipped (``CI=true``).
    """
    own = Path(sys.executable).parent / name
    found = os.environ.get(f"RECONCILER_{name.upper()}") or shutil.which(own)
    found = found or shutil.which(name)
    if found is not None:
        return found
    told = f"{name} is missing: run `make setup`"
    if os.environ.get("CI") == "true":
        pytest.fail(told)
    pytest.skip(told)


def promtool(
    arguments: Sequence[str], *, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    """Run promtool; return its status and all that it said."""
    return _run("promtool", arguments, stdin)


def amtool(arguments: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
    """Run amtool; return its status and all that it said."""
    return _run("amtool", arguments, b"")


def _run(
    name: str, arguments: Sequence[str], stdin: bytes
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [find_tool(name), *arguments],
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=patience(DEADLINE),
        check=False,
    )
