"""What `check` says of this machine."""

from pathlib import Path

import pytest

from reconciler.cli.check import Report, open_to_others, tell_overlays
from reconciler.history.place import FILE
from reconciler.model import HostName
from reconciler.settings import RepositorySettings, Settings


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


def test_who_gets_each_folder_of_secrets_is_told() -> None:
    secrets = {
        "a": {"path": "/s/a", "hosts": ["web", "db-*"]},
        "b": {"path": "/s/b", "hosts": ["wbe"]},
        "c": "/s/c",
    }
    repository = {"url": "/srv/git/x.git", "secrets": secrets}
    settings = Settings(repository=RepositorySettings.model_validate(repository))
    report = Report(as_json=True)

    tell_overlays(settings, [HostName("db-1"), HostName("web")], report)

    named, mistaken, of_all = report.lines
    assert str(named["told"]).startswith("for db-1, web alone")
    assert mistaken["problem"] == "no host is called wbe: mend `hosts`"
    assert str(of_all["told"]).startswith("for all hosts; name those that need them")
