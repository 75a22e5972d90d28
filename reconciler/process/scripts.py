"""Programs of ours that run in a process of their own: what they load goes with it."""

import json
import os
import sys
from pathlib import Path
from typing import Any

from reconciler.process.commands import run


def run_script(
    file: Path,
    job: object,
    *,
    deadline: float,
    memory: int | None = None,
) -> Any:  # noqa: ANN401 -- what json.loads returns
    """
    Run the Python *file* with *job* as JSON on stdin; return the JSON that it printed.

    It gets at most *deadline* seconds and *memory* bytes. Raises as `run` does.
    """
    done = run(
        # As a file: the rest of this program would only take time to import.
        [sys.executable, "-P", str(file)],
        stdin=json.dumps(job).encode(),
        # A packaged program has its libraries on a path of its own.
        env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        deadline=deadline,
        memory=memory,
    )
    return json.loads(done.stdout)
