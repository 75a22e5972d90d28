"""Finds Prometheus's own checker."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

DEADLINE = 60.0  # seconds


def find_promtool() -> str:
    """
    Return the path of promtool, as ``make setup`` leaves it or as PATH has it.

    Without it the test is skipped, or fails where nothing may be skipped (``CI=true``).
    """
    own = Path(sys.executable).parent / "promtool"
    found = os.environ.get("RECONCILER_PROMTOOL") or shutil.which(own)
    found = found or shutil.which("promtool")
    if found is not None:
        return found
    told = "promtool is missing: run `make setup`"
    if os.environ.get("CI") == "true":
        pytest.fail(told)
    pytest.skip(told)


def promtool(
    arguments: Sequence[str], *, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    """Run promtool; return its status and all that it said."""
    return subprocess.run(
        [find_promtool(), *arguments],
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=DEADLINE,
        check=False,
    )
