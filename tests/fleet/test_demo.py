"""The first thing that a newcomer runs: it must see all that it shows, and clean up."""

import os
import subprocess
from pathlib import Path

import pytest

FOLDERS = Path("/var/tmp")  # noqa: S108 # where the demo makes its own
DEMO = Path(__file__).parents[2] / "examples" / "demo"

pytestmark = [
    pytest.mark.fleet,
    pytest.mark.skipif(os.geteuid() != 0, reason="real hosts need root"),
    pytest.mark.timeout(300),
]


def test_the_demo_sees_everything_that_it_shows() -> None:
    before = set(FOLDERS.glob("reconciler-demo-*"))

    done = subprocess.run(
        [str(DEMO)],
        env={**os.environ, "ONCE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )

    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "All of it was seen." in done.stdout
    assert set(FOLDERS.glob("reconciler-demo-*")) <= before
