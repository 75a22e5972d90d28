"""The API: what it tells, whom it lets in, and what orders do."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from reconciler.errors import SettingsError
from reconciler.history import History
from reconciler.model import HostName
from reconciler.plan import attempt_as_dict, status_as_dict
from reconciler.settings import ApiSettings
from reconciler.web.api import Access
from reconciler.web.api.door import BODY_LIMIT
from reconciler.web.api.reading import PLANS
from reconciler.web.limiter import BURST
from tests.support.api import DEADLINE, TOKENS, Api, api_server
from tests.support.scene import Scene
from tests.support.wait import wait_until
from tests.support.world import toplevel_of

BOT = "withinbot.service"
FACTS = "printerfacts.service"
A = {"lufta": {BOT: "1"}, "keanu": {FACTS: "1"}}
B = {"lufta": {BOT: "2"}, "keanu": {FACTS: "1"}}
OFTEN = 0.05  # seconds between two looks
LUFTA = HostName("lufta")
READING = (
    "/status",
    "/hosts",
    "/hosts/lufta",
    "/attempts",
    "/events",
    "/sync/x-1",
)
ORDERING = (
    "/sync",
    *(f"/hosts/lufta/{order}" for order in ("hold", "release", "retry", "rollback")),
    *("/hosts/lufta/adopt", "/hosts/lufta/approve", "/commits/1a2b3c4d/approve"),
)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path / "scene", interval=OFTEN)
    scene.push(A)
    yield scene
    scene.close()


def wait_in_sync(api: Api) -> None:
    wait_until(
        lambda: api.get("/status").json()["in_sync"] == 2, DEADLINE, "both hosts"
    )


@pytest.fixture
def api(scene: Scene, tmp_path: Path) -> Iterator[Api]:
    with api_server(scene, tmp_path) as api:
        wait_in_sync(api)
        yield api


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """Give an API for tests that change nothing."""
    folder = tmp_path_factory.mktemp("shared")
    scene = Scene(folder / "scene", interval=30.0)
    scene.push(A)
    with api_server(scene, folder) as api:
        wait_in_sync(api)
        wait_until(lambda: is_at_rest(api), DEADLINE, "the passes to end")
        yield api
    scene.close()


def is_at_rest(api: Api) -> bool:
    """Whether all passes are over; what they do last is to ask for a bell."""
    status = api.get("/status").json()
    return len(status["bells"]) == status["hosts"] and not status["doing"]


# --- what is told ----------------------------------------------------------------


def test_the_whole_in_figures(shared: Api) -> None:
    status = shared.get("/status").json()

    bells = status.pop("bells")
    assert {host: bell["state"] for host, bell in bells.items()} == {
        "keanu": "polled",
        "lufta": "polled",
    }
    assert status == {
        "healthy": True,
        "problem": "",
        "doing": "",
        "repository": "",
        "commit": {
            "id": shared.scene.mirror.commits[-1].id,
            "branch": "main",
            "subject": "A commit",
            "author": shared.scene.mirror.commits[-1].author,
            "committed_at": shared.scene.mirror.commits[-1].committed_at,
        },
        "withheld": None,
        "hosts": 2,
        "in_sync": 2,
        "unreachable": 0,
        "held": 0,
        "quarantined": 0,
    }


def test_hosts_and_attempts_are_what_the_command_line_tells(shared: Api) -> None:
    """Key by key, and in the same words."""
    history = shared.scene.history
    statuses = [status_as_dict(one) for one in history.statuses()]
    attempts = [attempt_as_dict(one) for one in history.attempts()]
    hosts = shared.get("/hosts").json()

    # How its bell stands only the daemon knows, and the command line asks it.
    assert [drop(host, "updated_at", "bell") for host in hosts] == [
        drop(status, "updated_at", "bell") for status in statuses
    ]
    bells = shared.get("/status").json()["bells"]
    assert {host["host"]: host["bell"] for host in hosts} == bells
    assert shared.get("/attempts").json() == attempts
    one = shared.get("/hosts/lufta").json()
    assert one["attempts"] == [a for a in attempts if a["host"] == "lufta"]
    assert drop(one, "updated_at", "attempts") == drop(hosts[1], "updated_at")


def drop(value: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: each for key, each in value.items() if key not in keys}


def test_an_attempt_and_what_was_said_in_it(shared: Api) -> None:
    (attempt,) = shared.get("/attempts?host=lufta").json()

    def told() -> dict[str, Any]:
        found: dict[str, Any] = shared.get(f"/attempts/{attempt['id']}").json()
        return {} if found["brought"]["pending"] else found

    found = wait_until(told, 30, "what it brought")
    # Its systems are in no store: neither here nor on a machine in memory.
    assert "any more" in found.pop("brought")["problem"]
    assert found == attempt
    log = shared.get(f"/attempts/{attempt['id']}/log").json()
    assert log["attempt"] == attempt["id"]
    assert any("building" in line for line in log["lines"])


def test_a_plan_is_made_now_and_nothing_is_done(scene: Scene, tmp_path: Path) -> None:
    scene.look()
    scene.run("lufta")
    with api_server(scene, tmp_path) as api:
        wait_in_sync(api)
        api.post("/hosts/lufta/hold", {"reason": "to look at it"})
        scene.machine("lufta").change(BOT, active_state="inactive")
        before = scene.machine("lufta").commands

        plan = api.post("/hosts/lufta/plan").json()

        assert (plan["host"], plan["verdict"]) == ("lufta", "held")
        assert [drift["subject"] for drift in plan["drifts"]] == [BOT]
        assert plan["commit"] == scene.mirror.commits[-1].id
        assert plan["brings"] is None
        assert scene.machine("lufta").commands == before


def test_a_plan_says_what_another_system_would_bring(api: Api) -> None:
    wait_in_sync(api)
    api.post("/hosts/lufta/hold", {"reason": "to look at it"})
    api.scene.push(B)

    def brings() -> Any:  # noqa: ANN401
        return api.post("/hosts/lufta/plan").json()["brings"]

    found = wait_until(brings, 30, "the new commit to be planned")

    # A system in memory is in no store, and that is said.
    assert (found["packages"], found["files"]) == (None, None)
    assert found["problem"]


def test_a_plan_that_cannot_be_made_says_why(api: Api) -> None:
    api.scene.machine("keanu").disconnect()

    answer = api.post("/hosts/keanu/plan")

    assert answer.status_code == 409
    assert "keanu: cannot connect" in answer.json()["detail"]


def test_before_the_first_commit_there_is_no_plan(scene: Scene, tmp_path: Path) -> None:
    with api_server(scene, tmp_path, start=False) as api:
        answer = api.post("/hosts/lufta/plan")
        assert answer.status_code == 503
        assert answer.json() == {"detail": "no commit was read yet"}
        assert answer.headers["retry-after"] == "5"
        assert api.get("/status").json()["commit"] is None


def test_so_many_plans_at_a_time(api: Api) -> None:
    """Else whoever may look could have every host probed without end."""
    probing, go_on = threading.Semaphore(0), threading.Event()

    def wait() -> None:
        if not threading.current_thread().name.startswith("worker"):  # a pass
            probing.release()
        go_on.wait(DEADLINE)

    api.scene.machine("lufta").before_read = wait
    with ThreadPoolExecutor(PLANS + 1) as pool:
        asked = [pool.submit(api.post, "/hosts/lufta/plan") for _ in range(PLANS)]
        for _ in range(PLANS):
            assert probing.acquire(timeout=DEADLINE)
        refused = api.post("/hosts/lufta/plan")
        others = api.get("/hosts")
        go_on.set()
        answers = [one.result().status_code for one in asked]

    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "5"
    assert others.status_code == 200
    assert answers == [200] * PLANS


@pytest.mark.parametrize(
    "path",
    [
        *("/hosts/nobody", "/attempts/nothing"),
        *("/attempts/nothing/log", "/sync/nothing", "/nothing", "/hosts/%00"),
    ],
)
def test_what_there_is_not(shared: Api, path: str) -> None:
    answer = shared.get(path)
    assert answer.status_code == 404
    assert answer.json()["detail"]


def test_the_description_is_served(shared: Api) -> None:
    description = shared.client.get(f"{shared.address}/openapi.json").json()

    assert set(description["paths"]) >= {f"/api/v1{path}" for path in READING[:2]}
    assert description["components"]["securitySchemes"]["HTTPBearer"] == {
        "type": "http",
        "scheme": "bearer",
    }
    shape = description["components"]["schemas"]["HostShape"]["properties"]
    (status, *_) = shared.scene.history.statuses()
    assert set(shape) == set(status_as_dict(status))
    shape = description["components"]["schemas"]["AttemptShape"]["properties"]
    assert set(shape) == set(attempt_as_dict(shared.scene.history.attempts()[0]))


# --- who is let in ---------------------------------------------------------------


@pytest.mark.parametrize("by", [None, "x", TOKENS["viewer"][:-1], "v" * 33, "é"])
def test_without_a_token_nobody_is_let_in(shared: Api, by: str | None) -> None:
    headers = {} if by is None else {"Authorization": f"Bearer {by}".encode()}
    for method, path in (
        *(("GET", path) for path in READING),
        *(("POST", path) for path in ORDERING),
        ("GET", "/nothing"),
    ):
        answer = shared.ask(method, path, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
    assert [event for event in shared.events() if event[0] == "hold"] == []


@pytest.mark.parametrize(
    "header",
    [
        f"Basic {TOKENS['operator']}",
        TOKENS["operator"],
        f"Bearer  {TOKENS['operator']} x",
        f"Bearer {TOKENS['operator']},{TOKENS['viewer']}",
        "Bearer",
    ],
)
def test_other_ways_to_show_a_token_do_not_count(shared: Api, header: str) -> None:
    headers = {"Authorization": header}
    assert shared.ask("GET", "/hosts", headers=headers).status_code == 401


def test_two_tokens_at_once_are_none(shared: Api) -> None:
    both = [("Authorization", f"Bearer {token}") for token in TOKENS.values()]
    answer = shared.client.get(f"{shared.address}/api/v1/hosts", headers=both)
    assert answer.status_code == 401


def test_a_viewer_looks_and_changes_nothing(shared: Api) -> None:
    for path in READING[:-1]:
        assert shared.get(path, by="viewer").status_code == 200
    for path in ORDERING:
        answer = shared.post(path, {"reason": "x"}, by="viewer")
        assert answer.status_code == 403
    for method in ("PUT", "PATCH", "DELETE"):
        assert shared.ask(method, "/hosts/lufta", by="viewer").status_code == 403
    assert shared.scene.history.holds(shared.scene.clock()) == []
    assert [event for event in shared.events() if event[2]] == []


def test_an_operator_does_both(api: Api) -> None:
    for path in READING[:-1]:
        assert api.get(path, by="operator").status_code == 200
    for path in ORDERING[:-1]:
        assert api.post(path, {"reason": "a test"}).is_success


def test_metrics_and_health_stay_open(shared: Api) -> None:
    for path in ("/metrics", "/healthz", "/", "/openapi.json"):
        assert shared.client.get(f"{shared.address}{path}").status_code == 200


def test_a_token_can_be_replaced_and_taken_away(api: Api, tmp_path: Path) -> None:
    file = tmp_path / "viewer-token"
    file.write_text("another token for viewers")
    assert api.get("/hosts").status_code == 401
    assert api.get("/hosts", by="another token for viewers").status_code == 401
    file.write_text("another-token-for-viewers\n")
    assert api.get("/hosts", by="another-token-for-viewers").status_code == 200
    file.unlink()
    assert api.get("/hosts", by="another-token-for-viewers").status_code == 401


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "is empty"),
        ("short", "is shorter than 16 bytes"),
        ("a token with blanks in it", "has blanks in it"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_a_token_that_is_none_does_not_start(
    tmp_path: Path, content: str | None, expected: str
) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_text(content)
    token = {"name": "ci", "role": "viewer", "file": str(file)}

    with pytest.raises(SettingsError) as caught:
        Access(ApiSettings.model_validate({"tokens": [token]}))

    assert str(caught.value) == f"api.tokens[0].file: {file} {expected}"


def test_who_guesses_tokens_is_slowed_down(api: Api) -> None:
    answers = [api.get("/hosts", by="guess") for _ in range(BURST + 20)]
    limited = [answer for answer in answers if answer.status_code == 429]

    assert answers[0].status_code == 401
    assert limited
    assert api.get("/hosts", by="viewer").status_code == 200, "from the same address"
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in limited)
    assert api.local("GET", "/hosts").status_code == 200
    series = 'reconciler_api_requests_total{result="rate-limited",role=""}'
    assert api.scene.metric(series) == len(limited)


def test_refusals_are_logged_but_no_flood_of_them(
    api: Api, capfd: pytest.CaptureFixture[str]
) -> None:
    for _ in range(20):
        api.get("/hosts", by="a-wrong-token-of-somebody")
    told = "".join(capfd.readouterr())

    assert told.count("API: refused") == 1
    assert "unknown-caller" in told
    assert "wrong-token" not in told


def test_no_body_is_read_before_it_is_known_who_asks(shared: Api) -> None:
    """Nor one that is too large, or whose length is a lie."""
    deep = b"[" * 60_000
    answer = shared.ask("POST", "/hosts/lufta/hold", content=deep)
    assert answer.status_code == 401
    much = b"x" * (BODY_LIMIT + 1)
    assert shared.ask("POST", "/sync", content=much).status_code == 401
    answer = shared.ask("POST", "/sync", by="operator", content=much)
    assert answer.status_code == 413
    assert answer.json() == {"detail": "the body is larger than 64 KiB"}
    chunks = (b"x" * 1024 for _ in range(65))
    assert shared.ask("POST", "/sync", by="operator", content=chunks).status_code == 413
    answer = shared.ask(
        "POST",
        "/hosts/lufta/hold",
        by="operator",
        content=deep,
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code in {400, 422}


# --- loopback --------------------------------------------------------------------


def test_loopback_may_look_only_if_the_settings_say_so(
    scene: Scene, tmp_path: Path
) -> None:
    with api_server(scene, tmp_path, loopback_reads=True) as api:
        assert api.get("/hosts", by=None).status_code == 200
        assert api.post("/sync", by=None).status_code == 403
        # A token that is wrong is wrong all the same.
        assert api.get("/hosts", by="wrong").status_code == 401
        port = api.server.address[1]
        for host in ("localhost", f"localhost:{port}", "[::1]:80", "127.0.0.1"):
            answer = api.ask("GET", "/hosts", headers={"Host": host})
            assert answer.status_code == 200, host


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},  # a page that has its own name mean our address
        {"Host": "127.0.0.1.evil.example:80"},
        {"Host": ""},
        {"X-Forwarded-For": "127.0.0.1"},  # a proxy, whoever that is for
        {"Forwarded": "for=127.0.0.1"},
        {"X-Real-IP": "127.0.0.1"},
        {"Via": "1.1 proxy"},
    ],
)
def test_what_only_looks_like_loopback_is_not(
    scene: Scene, tmp_path: Path, headers: dict[str, str]
) -> None:
    with api_server(scene, tmp_path, loopback_reads=True) as api:
        assert api.ask("GET", "/hosts", headers=headers).status_code == 401


def test_a_proxy_that_says_nothing_of_itself_is_not_here(
    scene: Scene, tmp_path: Path
) -> None:
    """A bare `proxy_pass`: it speaks HTTP/1.0, and names us as the host."""
    with api_server(scene, tmp_path, loopback_reads=True) as api:
        port = api.server.address[1]
        for version, status in (("1.0", b" 401 "), ("1.1", b" 200 ")):
            with socket.create_connection(("127.0.0.1", port), DEADLINE) as connection:
                asked = (
                    f"GET /api/v1/hosts HTTP/{version}\r\nHost: 127.0.0.1:{port}\r\n"
                )
                connection.sendall(f"{asked}Connection: close\r\n\r\n".encode())
                assert status in connection.makefile("rb").readline()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://reconciler.example", "Host": "reconciler.example"}, 200),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://front.example"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
    ],
)
def test_no_page_from_elsewhere_has_a_browser_ask(
    shared: Api, headers: dict[str, str], status: int
) -> None:
    for method, path in (("GET", "/hosts"), ("POST", "/hosts/lufta/plan")):
        answer = shared.ask(method, path, by="viewer", headers=headers)
        assert answer.status_code == status


def test_a_plan_is_asked_for_and_only_looked_at(shared: Api) -> None:
    assert shared.ask("GET", "/hosts/lufta/plan", by="operator").status_code == 405
    assert shared.post("/hosts/lufta/plan", by=None).status_code == 401
    assert shared.post("/hosts/lufta/plan", by="viewer").status_code == 200
    assert shared.post("/hosts/nobody/plan", by="viewer").status_code == 404
    assert shared.post("/hosts/lufta/hold", by="viewer").status_code == 403


# --- the socket ------------------------------------------------------------------


def test_our_own_user_is_an_operator_over_the_socket(api: Api) -> None:
    assert api.local("GET", "/hosts").status_code == 200
    answer = api.local("POST", "/hosts/lufta/hold", json={"reason": "by hand"})

    assert answer.json() == {"hosts": ["lufta"]}
    user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True)
    assert ("hold", "lufta", user.stdout.strip(), "by hand") in api.events()


def test_a_look_that_takes_long_is_told_by_status(api: Api, tmp_path: Path) -> None:
    assert api.local("GET", "/status").json()["doing"] == ""
    begun, end = threading.Event(), threading.Event()

    def fetch_slowly() -> None:
        begun.set()
        assert end.wait(DEADLINE)

    api.scene.mirror.before_fetch = fetch_slowly
    settings = tmp_path / "settings.yaml"
    settings.write_text(f"repository: {{url: /x}}\nstate: {api.socket.parent}\n")
    try:
        api.daemon.look_again()
        assert begun.wait(DEADLINE)
        api.scene.clock.advance(95.0)
        told = api.local("GET", "/status").json()["doing"]
        shown = subprocess.run(
            [sys.executable, "-m", "reconciler", "-c", str(settings), "status"],
            capture_output=True,
            text=True,
            check=True,
            timeout=DEADLINE,
        )
    finally:
        end.set()

    assert told == "looking at the repository for 95 s"
    assert f"the daemon is {told}" in " ".join(shown.stderr.split())


def test_the_socket_is_for_its_owner(api: Api) -> None:
    assert oct(api.socket.stat().st_mode & 0o777) == "0o600"
    api.server.stop()
    assert not api.socket.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs two users")
def test_another_user_is_not_believed_even_if_the_socket_lets_him(api: Api) -> None:
    for folder in (api.socket, *api.socket.parents[:-1]):
        if folder.stat().st_uid == os.geteuid() and folder != Path("/tmp"):  # noqa: S108
            folder.chmod(folder.stat().st_mode | 0o777)
    program = (
        "import socket; s = socket.socket(socket.AF_UNIX); s.settimeout(10);"
        f"s.connect({str(api.socket)!r});"
        "s.sendall(b'GET /api/v1/hosts HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n');"
        "print(s.recv(20))"
    )
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    argv = [*nobody, "/usr/bin/python3", "-c", program]
    said = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=100)

    assert "401" in said.stdout


def test_a_long_path_is_no_hindrance(scene: Scene, tmp_path: Path) -> None:
    """Names of sockets end after 107 bytes."""
    folder = tmp_path / ("d" * 120) / ("e" * 120)
    folder.mkdir(parents=True)
    with api_server(scene, folder) as api:
        assert api.socket.is_socket()


def test_over_tcp_nobody_passes_for_local(api: Api) -> None:
    """Not even one who has hung up by the time we ask the kernel who it is."""
    for _ in range(20):
        with socket.create_connection(api.server.address) as wire:
            wire.sendall(
                b"POST /api/v1/hosts/lufta/hold HTTP/1.1\r\nHost: x\r\n"
                b"Content-Type: application/json\r\nContent-Length: 14\r\n\r\n"
                b'{"reason":"x"}'
            )
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    api.get("/hosts")
    assert api.scene.history.holds(api.scene.clock()) == []


# --- orders ----------------------------------------------------------------------


def test_a_held_host_is_left_alone_until_it_is_released(api: Api) -> None:
    machine = api.scene.machine("lufta")
    answer = api.post("/hosts/lufta/hold", {"reason": "being repaired", "for": "2h"})
    assert answer.json() == {"hosts": ["lufta"]}
    host = api.get("/hosts/lufta").json()
    assert host["hold"] == {
        "reason": "being repaired",
        "actor": "api:the-operator",
        "since": api.scene.clock(),
        "until": api.scene.clock() + 7200,
    }
    before = machine.commands
    api.scene.push(B)
    token = api.post("/sync", {"reason": "B is there"}).json()["token"]
    assert api.get(f"/sync/{token}").json()["done"]
    wait_until(
        lambda: api.get("/hosts/lufta").json()["verdict"] == "held", DEADLINE, "held"
    )
    assert machine.commands == before

    answer = api.post("/hosts/lufta/release", {"reason": "it is repaired"})

    assert answer.json() == {"hosts": ["lufta"]}
    wait_until(lambda: machine.commands > before, DEADLINE, "it to be deployed")
    assert api.post("/hosts/lufta/release").json() == {"hosts": []}
    who = "api:the-operator"
    orders = [event for event in api.events() if event[2]]
    assert [(kind, host, actor) for kind, host, actor, _ in orders] == [
        ("hold", "lufta", who),
        ("sync", None, who),
        ("release", "lufta", who),
    ]
    assert orders[0][3].startswith("being repaired (until ")
    assert [text for *_, text in orders[1:]] == ["B is there", "it is repaired"]


def test_hosts_can_be_chosen_by_tag(api: Api) -> None:
    answer = api.post("/hosts/@home/hold", {"reason": "the house has no power"})
    assert answer.json() == {"hosts": ["keanu", "lufta"]}
    assert api.get("/status").json()["held"] == 2
    assert api.post("/hosts/@nowhere/release").status_code == 404


def test_a_retry_is_recorded_with_who_and_why(api: Api) -> None:
    answer = api.post("/hosts/lufta/retry", {"reason": "the disk is free again"})

    assert answer.json() == {"hosts": []}
    assert (
        "retry",
        "lufta",
        "api:the-operator",
        "the disk is free again",
    ) in api.events()


@pytest.mark.parametrize(
    "body",
    [
        *("", "{}", "[]", "null", '"x"', '{"reason": ""}', '{"reason": 5}'),
        *(
            '{"reason": "a\\nb"}',
            '{"reason": "\\u001b[31m"}',
            '{"reason": "x", "a": 1}',
        ),
        *('{"reason": "x", "for": "soon"}', '{"reason": "x", "for": 0}'),
        *('{"reason": "x", "for": -1}', '{"reason": "x", "for": "1000d"}'),
        *('{"reason": "x", "for": NaN}', '{"reason": "x", "for": 1e999}'),
        *('{"reason": "x", "for": []}', f'{{"reason": "{"x" * 501}"}}', "{"),
    ],
)
def test_a_hold_that_is_none(shared: Api, body: str) -> None:
    answer = shared.ask(
        "POST",
        "/hosts/lufta/hold",
        by="operator",
        content=body,
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 422
    assert shared.scene.history.holds(shared.scene.clock()) == []


# --- approvals -------------------------------------------------------------------


def test_a_system_that_waits_may_come(api: Api) -> None:
    many = {f"{name}.service": "1" for name in "abcde"}
    few = {"a.service": "1"}

    def verdict() -> str:
        return str(api.get("/hosts/lufta").json()["verdict"])

    api.scene.push({**A, "lufta": many})
    api.daemon.look_again()
    machine, full = api.scene.machine("lufta"), toplevel_of("lufta", many)
    wait_until(lambda: machine.profile == full, DEADLINE, "five services")
    wait_until(lambda: verdict() == "converged", DEADLINE, "a look at them")
    api.scene.push({**A, "lufta": few})
    api.daemon.look_again()
    wait_until(lambda: verdict() == "blocked", DEADLINE, "it to wait")

    answer = api.post("/hosts/lufta/approve", {"reason": "four were for tests"})

    new = toplevel_of("lufta", few)
    assert answer.json() == [{"host": "lufta", "toplevel": new, "commit": None}]
    wait_until(lambda: machine.profile == new, DEADLINE, "it to come")
    (event,) = (event for event in api.events() if event[0] == "approve")
    assert event[1:3] == ("lufta", "api:the-operator")
    assert event[3].endswith(f"{new}: four were for tests")


def test_a_commit_that_waits_may_count(api: Api) -> None:
    fleet = {name: {BOT: "1"} for name in ("azure", "keanu", "logos", "lufta")}
    api.scene.push(fleet)
    api.daemon.look_again()
    wait_until(lambda: api.get("/status").json()["hosts"] == 4, DEADLINE, "the fleet")
    bad = api.scene.push({"lufta": {BOT: "1"}})
    api.daemon.look_again()
    wait_until(lambda: api.get("/status").json()["withheld"], DEADLINE, "it to wait")
    assert api.get("/status").json()["withheld"]["id"] == bad.id
    assert api.get("/status").json()["hosts"] == 4

    refused = api.post(f"/commits/{bad.short}/approve", by="viewer")
    assert refused.status_code == 403
    answer = api.post(f"/commits/{bad.short}/approve", {"reason": "they are sold"})

    assert answer.json() == [{"host": None, "toplevel": None, "commit": bad.id}]
    wait_until(lambda: api.get("/status").json()["hosts"] == 1, DEADLINE, "one host")
    assert api.get("/status").json()["withheld"] is None
    approval = ("approve", None, "api:the-operator", f"commit {bad.id}: they are sold")
    assert approval in api.events()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        *(("/hosts/nobody/approve", 404), ("/hosts/@nowhere/approve", 404)),
        *(("/commits/deadbeef/approve", 404), ("/commits/main/approve", 422)),
    ],
)
def test_what_there_is_not_cannot_be_approved(
    shared: Api, path: str, status: int
) -> None:
    assert shared.post(path).status_code == status
    assert "approve" not in [kind for kind, *_ in shared.events()]


# --- rollback --------------------------------------------------------------------


def wait_ended(api: Api, attempt: str) -> dict[str, Any]:
    def ended() -> Any:  # noqa: ANN401 -- JSON
        told = api.get(f"/attempts/{attempt}").json()
        return told if told["outcome"] else None

    return dict(wait_until(ended, DEADLINE, "the attempt to end"))


def test_a_host_is_taken_back_and_held_there(api: Api) -> None:
    machine = api.scene.machine("lufta")
    old = machine.running
    api.scene.push(B)
    api.daemon.look_again()
    new = toplevel_of("lufta", B["lufta"])

    def deployed() -> bool:
        (last, *_) = api.get("/attempts?host=lufta").json()
        return bool(last["to"] == new and last["outcome"])

    wait_until(deployed, DEADLINE, "the second commit")

    answer = api.post("/hosts/lufta/rollback", {"reason": "it forgets", "for": "1h"})

    assert answer.status_code == 202
    begun = answer.json()
    assert (begun["host"], begun["from"], begun["to"]) == ("lufta", new, old)
    ended = wait_ended(api, begun["id"])
    assert ended["outcome"] == "succeeded"
    assert "taken back to generation 2 by api:the-operator" in ended["message"]
    assert (machine.running, machine.profile) == (old, old)
    hold = api.get("/hosts/lufta").json()["hold"]
    assert (hold["reason"], hold["actor"]) == ("it forgets", "api:the-operator")
    assert hold["until"] == hold["since"] + 3600
    who = [(kind, actor) for kind, host, actor, _ in api.events() if host == "lufta"]
    assert ("hold", "api:the-operator") in who
    wait_until(
        lambda: ("rollback", "api:the-operator") in [e[::2] for e in api.events()],
        DEADLINE,
        "the event",
    )


def test_there_must_be_a_generation_to_go_back_to(api: Api) -> None:
    answer = api.post("/hosts/lufta/rollback", {"to": 17})
    assert answer.status_code == 404
    assert "lufta has no generation 17; it has: " in answer.json()["detail"]
    assert api.post("/hosts/nobody/rollback").status_code == 404
    assert api.get("/status").json()["held"] == 0


def test_a_host_that_is_being_changed_is_not_taken_back(api: Api) -> None:
    before = api.scene.machine("lufta").commands
    with api.scene.history.lock(LUFTA):
        answer = api.post("/hosts/lufta/rollback")
    assert answer.status_code == 409
    assert "is being changed by" in answer.json()["detail"]
    assert api.scene.machine("lufta").commands == before
    assert api.get("/status").json()["held"] == 0


def test_a_rollback_that_fails_is_told_and_its_host_not_held(api: Api) -> None:
    machine = api.scene.machine("lufta")
    running = machine.running
    machine.switch_status, machine.switch_output = 1, "no space left"

    begun = api.post("/hosts/lufta/rollback").json()

    ended = wait_ended(api, begun["id"])
    assert ended["outcome"] == "rolled_back"
    assert machine.running == running
    wait_until(
        lambda: api.get("/status").json()["held"] == 0, DEADLINE, "it to be let go"
    )


# --- sync ------------------------------------------------------------------------


def test_now_is_after_the_question(api: Api) -> None:
    """
    A look that was under way when somebody asked may have been too early.

    So it does not count: the next one does.
    """
    reading, go_on = threading.Event(), threading.Event()
    fetched = api.scene.mirror.fetch

    def slow() -> object:
        commit = fetched()
        reading.set()
        go_on.wait(DEADLINE)
        return commit

    api.scene.mirror.fetch = slow  # type: ignore[method-assign, assignment]
    try:
        assert reading.wait(DEADLINE)
        new = api.scene.push(B)
        token = api.post("/sync").json()["token"]
        assert not api.get(f"/sync/{token}?timeout=0.1").json()["done"]
        go_on.set()
        looked = api.get(f"/sync/{token}").json()
    finally:
        go_on.set()
        api.scene.mirror.fetch = fetched  # type: ignore[method-assign]

    assert looked == {"done": True, "commit": new.id, "error": ""}
    assert api.get(f"/sync/{token}?timeout=0").json()["done"]


def test_a_look_that_fails_says_why(api: Api) -> None:
    before = api.scene.mirror.commits[-1].id
    api.scene.mirror.away = "git.example: Connection refused"
    token = api.post("/sync").json()["token"]

    looked = api.get(f"/sync/{token}").json()

    assert looked["done"]
    assert looked["commit"] == before
    assert "Connection refused" in looked["error"]


def test_a_token_of_a_daemon_before_this_one_is_met(shared: Api) -> None:
    assert shared.get("/sync/0000abcd-99999").json()["done"]


@pytest.mark.parametrize(
    "token", ["x", "-1", "x-", "x-y", "x-1e3", "x-" + "9" * 50, "x-%D9%A1"]
)
def test_what_is_no_token_of_a_look(shared: Api, token: str) -> None:
    assert shared.get(f"/sync/{token}").status_code == 404


@pytest.mark.parametrize("timeout", ["-1", "61", "x", "nan", "inf", "1e400"])
def test_a_wait_has_its_limits(shared: Api, timeout: str) -> None:
    assert shared.get(f"/sync/x-1?timeout={timeout}").status_code == 422


def test_who_hangs_up_while_waiting_leaves_nothing_behind(
    scene: Scene, tmp_path: Path
) -> None:
    with api_server(scene, tmp_path, start=False) as api:
        token = api.post("/sync").json()["token"]
        for _ in range(20):
            with pytest.raises(httpx.ReadTimeout):
                api.ask("GET", f"/sync/{token}?timeout=60", by="viewer", timeout=0.05)
        waiting = api.daemon.looks._waiting  # noqa: SLF001
        wait_until(lambda: not waiting, DEADLINE, "nobody to wait")


# --- trouble ---------------------------------------------------------------------


def test_a_bug_costs_one_answer(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> list[object]:
        raise ZeroDivisionError

    # Else a traceback with all that every frame knows is drawn, which takes its time.
    with monkeypatch.context() as patch, structlog.testing.capture_logs() as logs:
        patch.setattr(History, "attempts", broken)
        answer = api.get("/attempts")
    assert answer.status_code == 500
    assert answer.json() == {"detail": "a bug; see the log"}
    assert [log["log_level"] for log in logs if "we do not know" in log["event"]] == [
        "error"
    ]
    assert TOKENS["viewer"] not in answer.text
    assert api.get("/attempts").status_code == 200
    series = 'reconciler_api_requests_total{result="failed",role="viewer"}'
    assert api.scene.metric(series) == 1
