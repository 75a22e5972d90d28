"""A forge that asks us to come back later is asked later."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from reconciler.errors import SourceError
from reconciler.settings import RepositorySettings
from reconciler.source import Mirror, retry_after
from reconciler.source.retry_after import LONGEST, parse
from tests.support.forge import Forge, forge
from tests.support.hooks import SHARED, generic
from tests.support.program import DEADLINE, Program
from tests.support.rig import Repository
from tests.support.wait import wait_until

WAIT = 3.0  # seconds


def trace(*lines: str) -> str:
    """Return lines as git 2.39 writes them."""
    return "".join(f"02:36:42.191381 http.c:684  {line}\n" for line in lines)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (["HTTP/1.1 429 Too Many Requests", "Retry-After: 120"], 120.0),
        (["HTTP/2 429", "retry-after: 120"], 120.0),
        (["HTTP/1.1 503 Service Unavailable", "Retry-After:7"], 7.0),
        (["HTTP/1.1 429 Too Many Requests", "Retry-After: 9999999999999"], LONGEST),
        (["HTTP/1.1 429 Too Many Requests"], None),
        (["HTTP/1.1 429 x", "Retry-After: -5"], None),
        (["HTTP/1.1 429 x", "Retry-After: soon"], None),
        (["HTTP/1.1 429 x", "Retry-After: Wed, 25 Nov 2026 02:38:42 GMT"], None),
        (["HTTP/1.1 301 Moved", "Retry-After: 120"], None),
        (["HTTP/1.1 429 x", "Retry-After: 120", "HTTP/1.1 200 OK"], None),
        (["HTTP/1.1 200 OK", "Retry-After: 1", "HTTP/1.1 429 x"], None),
        (["HTTP/1.1 401 x", "HTTP/1.1 429 x", "Retry-After: 5"], 5.0),
        (
            [
                "HTTP/1.1 429 x",
                "Date: Wed, 25 Nov 2026 02:36:42 GMT",
                "Retry-After: Wed, 25 Nov 2026 02:38:42 GMT",
            ],
            120.0,
        ),
        (
            [
                "HTTP/1.1 429 x",
                "Date: Wed, 25 Nov 2026 02:36:42 GMT",
                "Retry-After: Wed, 25 Nov 2026 02:00:00 GMT",
            ],
            0.0,
        ),
    ],
)
def test_what_an_answer_asks_for(headers: list[str], expected: float | None) -> None:
    lines = [f"<= Recv header: {line}" for line in headers]
    assert parse(trace("== Info: Trying", "=> Send header: x", *lines)) == expected


def test_what_we_send_is_not_taken_for_an_answer() -> None:
    sent = ("=> Send header: HTTP/1.1 429", "=> Send header: Retry-After: 5")
    assert parse(trace(*sent)) is None


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    content = tmp_path / "content"
    content.mkdir()
    repository = Repository(tmp_path, content)
    repository.push("The first commit")
    return repository


@pytest.fixture
def served(repository: Repository) -> Iterator[Forge]:
    with forge(repository.bare) as one:
        yield one


@pytest.mark.parametrize("status", [429, 503])
def test_git_is_made_to_tell(
    tmp_path: Path, repository: Repository, served: Forge, status: int
) -> None:
    settings = RepositorySettings(url=served.url)
    mirror = Mirror(settings, state=tmp_path / "state")
    now = datetime.now(UTC)  # noqa: TID251 -- a forge's clock
    later = format_datetime(now + timedelta(seconds=90), usegmt=True)
    served.answers = [
        (status, {"Retry-After": "120"}),
        (status, {"Retry-After": later}),
        (status, {}),
        (404, {"Retry-After": "120"}),
    ]

    asked = []
    for _ in range(4):
        with pytest.raises(SourceError) as caught:
            mirror.fetch()
        asked.append(caught.value.retry_after)

    assert asked[0] == 120.0
    assert asked[1] is not None
    assert 85 < asked[1] <= 91
    assert asked[2:] == [None, None]
    assert mirror.fetch().id == repository.head


def test_the_trace_is_ours_alone_and_goes_at_once(
    tmp_path: Path, served: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds what somebody configured git to send."""
    # Other tests, which run beside this one, have traces of their own.
    memory = tmp_path / "memory"
    memory.mkdir()
    monkeypatch.setattr(retry_after, "_MEMORY", memory)
    made = list[int]()
    real = Path.unlink

    def unlink(path: Path, *, missing_ok: bool = False) -> None:
        if path.name.startswith("reconciler-"):
            made.append(path.stat().st_mode & 0o777)
        real(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", unlink)
    Mirror(RepositorySettings(url=served.url), state=tmp_path / "state").fetch()

    assert made
    assert set(made) == {0o600}
    assert not list(memory.iterdir())


def test_nobody_makes_the_daemon_ask_sooner(tmp_path: Path) -> None:
    """Neither its own retries nor a webhook."""
    secret = tmp_path / "hook-secret"
    secret.write_text(SHARED)
    hook = {"push": {"provider": "generic", "secret_file": str(secret)}}
    with Program(tmp_path, webhooks=hook) as program:
        program.forge.answers = [(429, {"Retry-After": f"{WAIT:.0f}"})]
        program.start()
        body, headers = generic(b"push")
        assert program.post("/hooks/push", body, headers)[0] == 202
        wait_until(
            lambda: program.repository.head in program.said, DEADLINE, "the commit"
        )

        asked = program.forge.asked
        assert asked[1] - asked[0] >= WAIT
        assert f'"asked_to_wait": {WAIT}' in program.said
