"""Where state is kept: a directory, and a database that may be elsewhere."""

from pathlib import Path

import pytest

from reconciler.errors import SettingsError
from reconciler.settings import Settings, StateSettings, load
from reconciler.settings.private import private_paths

NO_LOGIN = "has a password, which lists of processes and logs would show"


def loaded(folder: Path, state: str) -> Settings:
    file = folder / "reconciler.yaml"
    file.write_text(f"repository: {{url: /srv/repo}}\nstate: {state}\n")
    return load(file)


def problem(folder: Path, state: str) -> str:
    with pytest.raises(SettingsError) as caught:
        loaded(folder, state)
    return str(caught.value)


@pytest.mark.parametrize("state", ["x", "{path: x}"])
def test_a_path_is_short_for_a_section_with_it(tmp_path: Path, state: str) -> None:
    assert loaded(tmp_path, state).state == StateSettings(path=tmp_path / "x")


@pytest.mark.parametrize("state", ["", "{}"])
def test_it_is_in_the_usual_place_unless_it_is_said(tmp_path: Path, state: str) -> None:
    assert loaded(tmp_path, state).state.path == Path("/var/lib/reconciler")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql:///reconciler",
        "postgres://reconciler@db.example.org:5433/reconciler?sslmode=verify-full",
        "postgresql://me@one.example.org:1,two.example.org:2/x?target_session_attrs=rw",
        "postgresql://%2Frun%2Fpostgresql/reconciler",
        "postgresql:///x?passfile=/run/keys/pgpass",
    ],
)
def test_what_psql_takes_is_taken(tmp_path: Path, url: str) -> None:
    assert loaded(tmp_path, f"{{database: '{url}'}}").state.database == url


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ("3", "2: state.path: should be a path, not 3"),
        ("{database: /srv/x}", "2: state.database: is no URL of PostgreSQL"),
        ("{database: 'mysql://db/x'}", "2: state.database: is no URL of PostgreSQL"),
        ("{database: 'postgresql://me:s3cret@db/x'}", NO_LOGIN),
        ("{database: 'postgresql://me:s3cr@et@db/x'}", NO_LOGIN),
        ("{database: 'postgresql://me:s3cr/et@db/x'}", NO_LOGIN),
        ("{database: 'postgresql://me:12/s3cret@db/x'}", NO_LOGIN),
        ("{database: 'postgresql://me@db?password=s3cret'}", NO_LOGIN),
        ("{database: 'postgresql:///x?sslmode=a&%70assword=s3cret'}", NO_LOGIN),
        ("{database: 'postgresql:///x?sslpassword=s3cret'}", NO_LOGIN),
        ("'postgresql://me:s3cret@db/x'", "write a URL as `state: {database: …}`"),
    ],
)
def test_what_is_wrong_is_told_without_a_secret(
    tmp_path: Path, state: str, told: str
) -> None:
    said = problem(tmp_path, state)

    assert told in said
    assert "s3cr" not in said


def test_files_with_secrets_are_ours_alone() -> None:
    url = "postgresql:///x?passfile=/run/keys/pgpass&sslkey=/run/keys/db.key"
    settings = Settings.model_validate(
        {"repository": {"url": "/srv"}, "state": {"database": url}}
    )

    assert {Path("/run/keys/pgpass"), Path("/run/keys/db.key")} <= {
        *private_paths(settings)
    }
