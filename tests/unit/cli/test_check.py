"""What `check` says of this machine."""

from pathlib import Path

import pytest

from reconciler.cli.check import open_to_others
from reconciler.history.place import FILE


@pytest.mark.parametrize(
    ("folder", "database", "told"),
    [
        (0o755, 0o644, [f"{FILE} (mode 0644)", "(mode 0755)", "chmod go= "]),
        (0o755, 0o600, ["(mode 0755)"]),
        (0o700, 0o644, []),
        (0o755, None, []),
        (None, None, []),
    ],
    ids=["both", "the folder", "a closed folder", "no database", "nothing"],
)
def test_a_state_that_others_may_read_is_named(
    tmp_path: Path, folder: int | None, database: int | None, told: list[str]
) -> None:
    state = tmp_path / "state"
    if folder is not None:
        state.mkdir()
        if database is not None:
            (state / FILE).touch()
            (state / FILE).chmod(database)
        state.chmod(folder)

    problem = open_to_others(state)

    assert all(words in problem for words in told)
    assert bool(problem) == bool(told)
