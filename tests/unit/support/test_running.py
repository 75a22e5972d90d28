"""How the tests are run: what comes first, and what is left for `make faults`."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import SLOWEST_FIRST, rank
from tests.support.budget import examples
from tests.support.leftovers import unmarked
from tests.support.processes import is_gone
from tests.support.wait import wait_until

TESTS = Path(__file__).parents[2]

KILLED_RUN = """
import os, signal, subprocess
from tests.support.leftovers import watch
watch()
child = subprocess.Popen(["sleep", "600"], start_new_session=True)
print(child.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_every_folder_of_tests_has_its_place() -> None:
    found = {path.relative_to(TESTS).parts[0] for path in TESTS.glob("*/**/test_*.py")}

    assert found == {name.partition("/")[0] for name in SLOWEST_FIRST}


def test_what_takes_long_comes_first() -> None:
    files = ["unit/cli/test_x.py", "fleet/test_x.py", "fleet/faults/test_x.py"]

    assert sorted((TESTS / file for file in files), key=rank) == [
        TESTS / file for file in files[::-1]
    ]


def test_every_day_has_the_usual_number_of_examples(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SEARCH", raising=False)
    assert examples(100) == 100
    monkeypatch.setenv("SEARCH", "20")
    assert examples(100) == 2000


def test_nothing_that_was_started_outlives_a_run_that_is_killed() -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_RUN],
        cwd=TESTS.parent,
        stdout=subprocess.PIPE,
        env=unmarked(),
        check=False,
        timeout=60,
    )

    child = int(killed.stdout)
    wait_until(lambda: is_gone(child), 20, "what it had started to end")
