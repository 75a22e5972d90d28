"""Webhooks over HTTP: what is taken, what is refused, and what it leaves behind."""

import gzip
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconciler.errors import SettingsError
from reconciler.web.webhooks import Routes
from reconciler.web.webhooks.intake import BODY_LIMIT, KEPT_BODY_LIMIT
from tests.support.hooks import (
    DEADLINE,
    NOW,
    SENDERS,
    SHARED,
    Hooks,
    Signed,
    all_routes,
    dumps,
    generic,
    github,
    gitlab,
    hooks_server,
    sourcehut,
    standard,
    web_settings,
)
from tests.support.payloads import PAYLOADS, Payload, changed
from tests.support.wait import patience, wait_until

REFUSED = {"detail": "there is no such webhook, or its signature is wrong"}
SIGNED: dict[str, Callable[[bytes], Signed]] = {
    **{provider.value: sender for provider, sender in SENDERS.items()},
    "standard": standard,
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hooks]:
    """Give a server with every provider, for tests that count nothing."""
    with hooks_server(tmp_path_factory.mktemp("hooks")) as hooks:
        yield hooks


@pytest.fixture
def hooks(tmp_path: Path) -> Iterator[Hooks]:
    with hooks_server(tmp_path) as hooks:
        yield hooks


# --- what is taken ---------------------------------------------------------------


@pytest.mark.parametrize("name", SIGNED)
def test_a_push_of_every_forge_has_the_repository_read(hooks: Hooks, name: str) -> None:
    answer = hooks.post(name, SIGNED[name](dumps({"ref": "refs/heads/main"})))

    assert answer.status_code == 202
    assert answer.json() == {"status": "accepted"}
    assert hooks.rings == 1
    assert hooks.counted() == {"accepted": 1}
    provider = "gitlab" if name == "standard" else name
    assert hooks.count(provider, "accepted") == 1


def test_a_push_of_bitbucket_data_center(hooks: Hooks) -> None:
    body, headers = SIGNED["bitbucket"](b"{}")
    headers |= {"X-Event-Key": "repo:refs_changed", "X-Request-Id": "5"}
    del headers["X-Request-UUID"], headers["X-Attempt-Number"]

    assert hooks.post("bitbucket", (body, headers)).json() == {"status": "accepted"}


def test_an_answer_takes_milliseconds(shared: Hooks) -> None:
    shared.post("github", github(b"{}"))
    took = sorted(
        shared.post("github", github(str(n).encode())).elapsed for n in range(50)
    )
    assert took[25].total_seconds() < patience(0.02)


def test_a_body_in_a_form_is_signed_as_it_is(shared: Hooks) -> None:
    body, headers = github(b"payload=%7B%22ref%22%3A%22refs%2Fheads%2Fmain%22%7D")
    headers["Content-Type"] = "application/x-www-form-urlencoded"

    assert shared.post("github", (body, headers)).status_code == 202


def test_compressed_bodies_are_not_unpacked(shared: Hooks) -> None:
    """A bomb of a gigabyte is a megabyte to us: nobody looks into it."""
    bomb = gzip.compress(b"\0" * (64 << 20))
    assert len(bomb) < 1 << 20

    answer = shared.post("github", github(bomb), Content_Encoding="gzip")

    assert answer.status_code == 202


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"[" * 100_000, id="deep"),
        pytest.param(b'{"a":' * 100_000, id="deep objects"),
        pytest.param(dumps({str(n): n for n in range(10_000)}), id="many keys"),
        pytest.param(b"9" * 100_000, id="a huge number"),
        pytest.param(b'{"a": NaN, "b": -Infinity, "c": 1e999999}', id="NaN"),
        pytest.param(b'{"ref": 1, "ref": 2}', id="a key twice"),
        pytest.param(b'{"ref": "\xff\xfe"}', id="not UTF-8"),
        pytest.param(b'\xef\xbb\xbf{"ref": ""}', id="BOM"),
        pytest.param(b'{"ref": "\\ud800"}', id="half a surrogate pair"),
        pytest.param(b"{", id="cut off"),
        pytest.param(b"\0" * 1000, id="NUL"),
        pytest.param(b"<xml/>", id="XML"),
    ],
)
@pytest.mark.parametrize("name", ["github", "gitlab", "generic"])
def test_no_body_breaks_anything(shared: Hooks, name: str, body: bytes) -> None:
    assert shared.post(name, SIGNED[name](body)).status_code == 202


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS.keys())
def test_no_payload_breaks_anything(shared: Hooks, payload: Payload) -> None:
    """
    Every field that anybody reads, replaced by what it should not be.

    Each of these has crashed another receiver: a null repository, a list that is none,
    a list without entries, `refs/heads/../../etc`, a URL that is an option of git.
    """
    for body in changed(payload):
        answer = shared.post(payload.name, SIGNED[payload.name](body))
        assert answer.status_code == 202, body[:200]
        assert answer.json()["status"] in {"accepted", "duplicate"}


# --- events ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "event"),
    [
        *(("github", event) for event in ("ping", "issues", "star", "PUSH", "push ")),
        *(("gitea", "issue_comment"), ("forgejo", "release"), ("gogs", "fork")),
        *(("gitlab", "Note Hook"), ("gitlab", "Pipeline Hook"), ("gitlab", "push")),
        *(("bitbucket", "diagnostics:ping"), ("bitbucket", "pullrequest:created")),
    ],
)
def test_events_about_no_push_are_answered_and_nothing_more(
    hooks: Hooks, name: str, event: str
) -> None:
    header = {"gitlab": "X-Gitlab-Event", "bitbucket": "X-Event-Key"}
    hub = {"github": "X-GitHub-Event"}
    key = (header | hub).get(name, f"X-{name.capitalize()}-Event")
    body, headers = SIGNED[name](b"{}")
    if event == "push ":  # servers strip spaces around values
        event = "push\t;"

    answer = hooks.post(name, (body, {**headers, key: event}))

    assert answer.status_code == 202
    assert answer.json() == {"status": "ignored"}
    assert hooks.rings == 0


@pytest.mark.parametrize("payload", [{"zen": "Design for failure.", "hook_id": 1}, {}])
def test_a_ping_with_and_without_a_repository(hooks: Hooks, payload: object) -> None:
    """That of an organisation's webhook has none."""
    for body in (dumps(payload), dumps({**dict(payload), "repository": None})):  # type: ignore[call-overload]
        assert hooks.post("github", github(body, event="ping")).status_code == 202
    assert hooks.rings == 0


def test_an_event_without_a_name_counts_as_a_push(hooks: Hooks) -> None:
    body, headers = github(b"{}")
    del headers["X-GitHub-Event"]

    assert hooks.post("github", (body, headers)).json() == {"status": "accepted"}


# --- what is refused -------------------------------------------------------------


def test_who_knows_no_secret_cannot_tell_which_routes_there_are(hooks: Hooks) -> None:
    wrong = github(b"{}", key="guessed")
    answers = [
        hooks.post("github", wrong),
        hooks.post("gitlab", wrong),
        hooks.post("no-such-route", wrong),
        hooks.post("no-such-route", github(b"{}")),
        hooks.post("", wrong),
        hooks.post("github/more", wrong),
        hooks.post("..%2F..%2Fetc%2Fpasswd", wrong),
        hooks.post("%00", wrong),
        hooks.post("github", (b"", {})),
    ]

    assert {answer.status_code for answer in answers} == {404}
    assert [answer.json() for answer in answers] == [REFUSED] * len(answers)
    assert len({str(sorted(answer.headers)) for answer in answers}) == 1
    assert hooks.rings == 0
    assert hooks.counted() == {"bad-signature": 3, "no-route": 6}
    assert hooks.count("", "no-route") == 6


def test_a_right_signature_on_the_wrong_route(tmp_path: Path) -> None:
    routes = all_routes(tmp_path)
    other = tmp_path / "other"
    other.write_text("another secret")
    routes["other"] = {"provider": "github", "secret_file": str(other)}

    with hooks_server(tmp_path, routes) as hooks:
        assert hooks.post("other", github(b"{}")).status_code == 404
        assert hooks.post("gogs", github(b"{}")).status_code == 404
        assert hooks.post("github", github(b"{}")).status_code == 202


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["/hooks/github", "/hooks/no-such-route", "/hooks/"])
def test_only_post_delivers(shared: Hooks, method: str, path: str) -> None:
    before = shared.count("", "bad-method")
    answer = shared.client.request(method, shared.url(path))

    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"
    assert shared.count("", "bad-method") == before + 1


def test_a_signature_header_that_comes_twice_on_the_wire(shared: Hooks) -> None:
    body, headers = github(b"{}")
    both = [*headers.items(), ("X-Hub-Signature-256", headers["X-Hub-Signature-256"])]

    answer = shared.client.post(shared.url("/hooks/github"), content=body, headers=both)

    assert answer.status_code == 404


@pytest.mark.parametrize("value", [b"\xff\xfe", "sha256=é".encode(), b"a" * 60_000])
def test_odd_bytes_in_a_signature_header(shared: Hooks, value: bytes) -> None:
    headers = [(b"x-hub-signature-256", value)]

    answer = shared.client.post(
        shared.url("/hooks/github"), content=b"{}", headers=headers
    )

    assert answer.status_code == 404


def test_nul_in_a_header_is_no_http(shared: Hooks) -> None:
    request = (
        b"POST /hooks/github HTTP/1.1\r\nHost: x\r\nX-Hub-Signature-256: a\0b\r\n\r\n"
    )
    assert said(shared, request).startswith(b"HTTP/1.1 400 ")
    assert shared.post("github", github(b"after that")).status_code == 202


# --- size ------------------------------------------------------------------------


def said(hooks: Hooks, *parts: bytes) -> bytes:
    """Send *parts* on a connection of their own; return what is answered."""
    with socket.create_connection(hooks.server.address, timeout=DEADLINE) as wire:
        for part in parts:
            wire.sendall(part)
        return wire.recv(65536)


def head(path: str, *lines: str) -> bytes:
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: x", *lines, "", ""]).encode()


@pytest.mark.parametrize("path", ["/hooks/github", "/hooks/no-such-route"])
@pytest.mark.parametrize("length", [BODY_LIMIT + 1, 2**63, 10**19])
def test_a_body_that_announces_too_much_is_refused_before_its_first_byte(
    shared: Hooks, path: str, length: int
) -> None:
    assert said(shared, head(path, f"Content-Length: {length}")).startswith(
        b"HTTP/1.1 413 "
    )


@pytest.mark.parametrize("length", ["-1", "x", "1e3", "0x10", "1, 2"])
def test_a_length_that_is_none_is_no_http(shared: Hooks, length: str) -> None:
    request = head("/hooks/github", f"Content-Length: {length}")
    assert said(shared, request).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    ("name", "limit"), [("github", BODY_LIMIT), ("sourcehut", KEPT_BODY_LIMIT)]
)
def test_one_byte_too_many_is_too_large_also_in_chunks(
    hooks: Hooks, name: str, limit: int
) -> None:
    """Whoever does not say how much comes is cut off when it is too much."""
    chunk = b"x" * (1 << 20)
    size = b"%x\r\n%b\r\n" % (len(chunk), chunk)
    whole = [size] * (limit >> 20)
    parts = [head(f"/hooks/{name}", "Transfer-Encoding: chunked"), *whole]

    answer = said(hooks, *parts, b"1\r\nx\r\n")

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert hooks.counted() == {"too-large": 1}


def test_a_body_of_the_largest_size_is_taken(shared: Hooks) -> None:
    assert shared.post("github", github(b"x" * BODY_LIMIT)).status_code == 202
    assert shared.post("sourcehut", sourcehut(b"x" * KEPT_BODY_LIMIT)).is_success


def test_a_body_that_is_longer_than_it_said_is_cut_there(hooks: Hooks) -> None:
    """What follows would be the next request, and is none."""
    _body, headers = github(b"{}")
    lines = [f"{name}: {value}" for name, value in headers.items()]

    answer = said(hooks, head("/hooks/github", *lines, "Content-Length: 2"), b"{}more")

    assert answer.startswith(b"HTTP/1.1 202 ")
    assert hooks.rings == 1


def test_a_sender_that_hangs_up_early_is_counted_and_forgotten(hooks: Hooks) -> None:
    with socket.create_connection(hooks.server.address, timeout=DEADLINE) as wire:
        wire.sendall(head("/hooks/github", "Content-Length: 100") + b"{}")
    wait_until(lambda: hooks.counted() == {"aborted": 1}, DEADLINE, "it to be counted")

    assert hooks.post("github", github(b"{}")).status_code == 202


# --- what came before ------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in SIGNED if n != "generic"])
def test_a_delivery_that_comes_again_is_known(hooks: Hooks, name: str) -> None:
    first, again = (hooks.post(name, SIGNED[name](b"{}")) for _ in range(2))

    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json() == {"status": "duplicate"}
    assert hooks.rings == 1


def test_another_body_under_the_same_id_is_another_delivery(hooks: Hooks) -> None:
    for body in (b"one", b"two"):
        assert hooks.post("github", github(body)).json() == {"status": "accepted"}
    assert hooks.rings == 2


def test_the_same_delivery_on_another_route_is_another_one(tmp_path: Path) -> None:
    routes = all_routes(tmp_path)
    routes["twin"] = routes["github"]
    with hooks_server(tmp_path, routes) as hooks:
        for name in ("github", "twin"):
            assert hooks.post(name, github(b"{}")).json() == {"status": "accepted"}


def test_without_an_id_nothing_is_known(hooks: Hooks) -> None:
    for _ in range(2):
        assert hooks.post("generic", generic(b"{}")).json() == {"status": "accepted"}


def test_a_wrong_signature_does_not_use_up_an_id(hooks: Hooks) -> None:
    """
    A receiver that notes ids before it verifies lets anybody block a delivery.

    sourcehut's own did so with its nonces.
    """
    for name in ("github", "sourcehut"):
        body, headers = SIGNED[name](b"{}")
        for signature in ("X-Hub-Signature-256", "X-Payload-Signature"):
            if signature in headers:
                wrong = {**headers, signature: "AAAA"}
                assert hooks.post(name, (body, wrong)).status_code == 404
        assert hooks.post(name, (body, headers)).json() == {"status": "accepted"}


def test_deliveries_are_known_after_a_restart(tmp_path: Path) -> None:
    with hooks_server(tmp_path) as hooks:
        hooks.post("github", github(b"{}"))
    with hooks_server(tmp_path) as hooks:
        assert hooks.post("github", github(b"{}")).json() == {"status": "duplicate"}
        assert hooks.post("github", github(b"[]")).json() == {"status": "accepted"}


def test_deliveries_are_written_down_while_it_runs(hooks: Hooks) -> None:
    """So that being killed costs the last second at most."""
    hooks.post("github", github(b"{}"))
    wait_until(hooks.history.deliveries.known, DEADLINE, "the delivery in the database")


def test_what_was_signed_long_ago_is_refused(hooks: Hooks) -> None:
    old = standard(b"{}", at=NOW - 301)
    assert hooks.post("standard", old).json() == REFUSED
    assert hooks.post("standard", standard(b"{}", at=NOW + 301)).status_code == 404
    assert hooks.counted() == {"stale": 2}
    hooks.clock[0] = NOW - 10
    assert hooks.post("standard", old).status_code == 202


# --- secrets ---------------------------------------------------------------------


def test_a_secret_can_be_replaced_while_it_runs(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text(SHARED)
    new.write_text("tomorrow's secret\n")
    routes = {"r": {"provider": "github", "secret_file": [str(old), str(new)]}}
    with hooks_server(tmp_path, routes) as hooks:
        assert hooks.post("r", github(b"1")).status_code == 202
        assert hooks.post("r", github(b"2", key="tomorrow's secret")).is_success
        replacement = tmp_path / "replacement"
        replacement.write_text("the day after's")
        replacement.rename(old)
        assert hooks.post("r", github(b"3")).status_code == 404
        assert hooks.post("r", github(b"4", key="the day after's")).is_success


@pytest.mark.parametrize("deed", ["emptied", "deleted", "made a folder"])
def test_a_secret_that_goes_lets_nobody_in(hooks: Hooks, deed: str) -> None:
    assert hooks.post("github", github(b"1")).status_code == 202
    if deed == "emptied":
        hooks.secret.write_text("\n")
    else:
        hooks.secret.unlink()
    if deed == "made a folder":
        hooks.secret.mkdir()

    for secret in (SHARED, "", "\n"):
        assert hooks.post("github", github(b"2", key=secret)).json() == REFUSED
    assert hooks.post("gitlab", gitlab(b"{}", key="x")).json() == REFUSED
    assert hooks.counted() == {"accepted": 1, "no-secret": 4}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        (" \t\n", "is empty"),
        (None, "cannot be read: No such file or directory"),
        ("a\nb\n", "has more than one line; write one secret into each file"),
        ("x" * 5000, "is larger than 4096 bytes"),
        ("whsec_???", "is no signing token: whsec_ and Base64"),
        ("whsec_", "is no signing token: whsec_ and Base64"),
    ],
)
def test_a_route_without_a_usable_secret_does_not_start(
    tmp_path: Path, content: str | None, expected: str
) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_text(content)
    routes = {"push": {"provider": "gitlab", "secret_file": str(file)}}

    with pytest.raises(SettingsError) as caught:
        Routes(web_settings(routes))

    assert str(caught.value) == f"webhooks.push.secret_file: {file} {expected}"


def test_a_secret_that_everybody_can_read_is_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    routes = all_routes(tmp_path)
    (tmp_path / "secret").chmod(0o644)

    Routes(web_settings(routes))

    assert "everybody on this machine can read a secret" in capsys.readouterr().out


# --- what is told ----------------------------------------------------------------


def test_nothing_secret_and_nothing_of_the_sender_is_told(
    hooks: Hooks, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither in the log, nor in an answer, nor in metrics, nor in the database."""
    evil = "<script>alert(1)</script>\x1b[31m\nroot logged in"
    body, headers = github(dumps({"ref": evil, "pusher": {"name": evil}}))
    headers |= {"X-GitHub-Delivery": "javascript:alert(1)", "User-Agent": "evil-agent"}
    told = [hooks.post("github", (body, headers)).text]
    told += [hooks.post("github", (body + b" ", headers)).text]
    told += [hooks.post("%3Cscript%3E%1b", (body, headers)).text]
    told += [hooks.post("gitlab", gitlab(body, key="a wrong guess")).text]
    log = "".join(capfd.readouterr())
    told += [hooks.metrics.render()[0].decode(), log]
    hooks.receiver.close()
    kept = [file.read_bytes() for file in hooks.secret.parent.glob("history*")]

    evil_words = ("wrong guess", "<script", "logged in", "evil-agent", "javascript:")
    for word in (SHARED, *evil_words):
        assert not [text for text in told if word in text]
        assert not [content for content in kept if word.encode() in content]
    assert "\x1b[31m" not in log
    assert "webhook refused" in log


def test_a_flood_of_rejects_is_no_flood_of_log_lines(
    hooks: Hooks, capfd: pytest.CaptureFixture[str]
) -> None:
    for _ in range(50):
        hooks.post("github", github(b"{}", key="wrong"))
    out, err = capfd.readouterr()

    assert (out + err).count("webhook refused") == 1
    assert hooks.counted() == {"bad-signature": 50}


def test_a_bug_costs_one_delivery(
    hooks: Hooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> bool:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr("reconciler.web.webhooks.seen.Seen.note", broken)
        answer = hooks.post("github", github(b"{}"))

    assert answer.status_code == 500
    assert SHARED not in answer.text
    assert hooks.counted() == {"error": 1}
    assert hooks.post("github", github(b"{}")).status_code == 202


def test_it_counts_from_zero(tmp_path: Path) -> None:
    routes = all_routes(tmp_path)
    with hooks_server(tmp_path, {"one": routes["github"]}) as hooks:
        assert hooks.count("github", "accepted") == 0
        assert hooks.count("", "no-route") == 0
        with pytest.raises(AssertionError, match="no series"):
            hooks.count("gitlab", "accepted")
        hooks.receiver.use(Routes(web_settings({"two": routes["gitlab"]})))
        assert hooks.count("gitlab", "accepted") == 0
        assert hooks.post("two", gitlab(b"{}")).status_code == 202
        assert hooks.post("one", github(b"{}")).status_code == 404


def test_the_description_names_what_is_answered(shared: Hooks) -> None:
    description = shared.client.get(shared.url("/openapi.json")).json()
    answers = description["paths"]["/hooks/{name}"]["post"]["responses"]
    assert set(answers) >= {"202", "404", "408", "413", "429"}
