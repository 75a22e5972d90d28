"""
A central reconciler that hosts report to, which deploy themselves: real processes.

What a host tells is signed by the real ssh-keygen. Nix is not asked: of a host that
deploys itself nothing is evaluated here.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from reconciler import local_socket
from reconciler.model import HostStatus, Outcome
from reconciler.reports import LIMIT
from tests.adapters.desired_nix import OFFLINE
from tests.support.program import DEADLINE, Program
from tests.support.reports import (
    COMMIT,
    NOWHERE,
    STOPPED,
    attempt_of,
    make_key,
    now,
    public,
    read_paths,
    report_of,
    signed,
    status_of,
)
from tests.support.wait import patience, wait_until

HOSTS = ("attic", "kiosk", "laptop")
UNKNOWN = "no host of this name reports here, or it has not signed this"


@dataclass(frozen=True)
class Central:
    """The program, and the keys of hosts."""

    program: Program
    keys: Path

    def key(self, host: str) -> Path:
        """Return the private key of *host*."""
        return self.keys / host

    def tell(
        self,
        status: HostStatus,
        *,
        key: str = "",
        path: str = "",
        at: float | None = None,
        outcome: Outcome | None = None,
    ) -> tuple[int, str]:
        """Have a host report; return the answer."""
        host = status.host
        attempt = attempt_of(host, outcome) if outcome else None
        body = report_of(status, at or now(), attempt)
        return self.post(path or host, body, signed(body, self.key(key or host)))

    def post(self, host: str, body: bytes, signature: str) -> tuple[int, str]:
        """Post what may be no report."""
        headers = {"Reconciler-Signature": signature}
        status, text = self.program.post(f"/reports/{host}", body, headers)
        return status, json.loads(text)["detail"] if text else ""

    def status(self, host: str) -> dict[str, Any]:
        """Return what `status` shows of a host."""
        told: dict[str, Any] = json.loads(
            self.program.run("status", host, "--json").stdout
        )
        return told

    def wait(self, host: str, **fields: object) -> None:
        """Wait until `status` shows these fields of a host."""

        def shows() -> bool:
            told = self.status(host)
            return all(told[name] == value for name, value in fields.items())

        wait_until(shows, DEADLINE, f"{host} to have {fields}")

    def events(self, host: str) -> list[str]:
        """Return what history has of a host's own deployments, newest first."""
        events = json.loads(self.program.run("events", "--json").stdout)
        return [
            one["text"]
            for one in events
            if (one["host"], one["kind"]) == (host, "reported")
        ]


@pytest.fixture(scope="module")
def central(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Central]:
    folder = tmp_path_factory.mktemp("central")
    keys = folder / "keys"
    keys.mkdir()
    for name in ("attic", "laptop", "stranger"):
        make_key(keys / name)
    hosts = {
        "attic": {"transport": "pull", "host_keys": public(keys / "attic").strip()},
        "laptop": {"transport": "pull"},
        "kiosk": {"transport": "pull"},
    }
    with Program(folder) as program:
        read_paths(program, HOSTS, hosts=hosts)
        found = Central(program, keys)
        next_key = str(keys / "laptop.pub")
        program.run("trust", "laptop", "--next", next_key)
        program.start()
        wait_until(
            lambda: "kiosk" in program.run("status").stdout, DEADLINE, "all hosts"
        )
        yield found


def test_what_a_host_reports_is_shown(central: Central) -> None:
    host = central.program
    assert central.status("attic")["report"] == {"at": None, "stale": True}

    began = now()
    answer = central.tell(status_of("attic", STOPPED), outcome=Outcome.SUCCEEDED)

    assert answer == (204, "")
    central.wait("attic", verdict="reported", commit=COMMIT)
    told = central.status("attic")
    assert began <= told["report"]["at"] <= now()
    assert not told["report"]["stale"]
    assert [drift["subject"] for drift in told["drifts"]] == ["bot.service"]
    assert told["units"] == {"desired": 7, "active": 6}
    shown = host.run("status", "attic").stdout
    assert "reports itself, last" in shown
    assert "reports itself, last" in host.run("status").stdout
    assert central.events("attic") == [f"deploy {COMMIT[:8]}: succeeded"]
    assert host.metric('reconciler_host_up{host="attic"}') == 1
    assert host.metric('reconciler_host_in_sync{host="attic"}') == 0
    series = 'reconciler_drift_items{host="attic",kind="unit-stopped"}'
    assert host.metric(series) == 1
    series = 'reconciler_host_report_timestamp_seconds{host="attic"}'
    assert host.metric(series) == pytest.approx(told["report"]["at"])


def test_a_deployment_is_written_down_once_and_harmlessly(central: Central) -> None:
    failed = Outcome.ROLLED_BACK
    for outcome in (failed, failed, Outcome.SUCCEEDED):
        assert central.tell(status_of("laptop"), outcome=outcome)[0] == 204

    central.wait("laptop", in_sync=True)
    assert central.events("laptop") == [
        f"deploy {COMMIT[:8]}: succeeded",
        f"deploy {COMMIT[:8]}: rolled_back; it is ill",
    ]
    assert central.program.metric('reconciler_host_in_sync{host="laptop"}') == 1


def test_a_host_can_report_only_of_itself(central: Central) -> None:
    attic, laptop = status_of("attic"), status_of("laptop")

    assert central.tell(laptop, key="attic") == (403, UNKNOWN)
    assert central.tell(laptop, key="attic", path="attic") == (403, UNKNOWN)
    assert central.tell(attic, key="stranger") == (403, UNKNOWN)
    # Of whom nobody knows a key, who is no host, and who is reached over SSH.
    assert central.tell(status_of("kiosk"), key="attic") == (403, UNKNOWN)
    assert central.tell(status_of("nobody"), key="attic") == (403, UNKNOWN)


def test_what_was_changed_or_signed_for_something_else_is_forged(
    central: Central,
) -> None:
    body = report_of(status_of("attic"), now())
    key = central.key("attic")
    changed = body.replace(b'"units_active":7', b'"units_active":6')
    assert changed != body

    assert central.post("attic", changed, signed(body, key)) == (403, UNKNOWN)
    assert central.post("attic", body, signed(body, key, "git")) == (403, UNKNOWN)
    for nonsense in ("", "%%", "AAAA", "A" * 20000):
        assert central.post("attic", body, nonsense) == (403, UNKNOWN)


def test_a_report_counts_once_and_no_older_one_after_it(central: Central) -> None:
    began = now()
    old, new = (report_of(status_of("attic"), at) for at in (began + 1, began + 2))
    key = central.key("attic")
    taken = "a later report was taken before this one"

    assert central.post("attic", new, signed(new, key))[0] == 204
    assert central.post("attic", new, signed(new, key)) == (409, taken)
    assert central.post("attic", old, signed(old, key)) == (409, taken)


@pytest.mark.parametrize(
    ("off", "told"), [(-3600.0, "3600 s behind"), (7200.0, "7200 s ahead of")]
)
def test_a_clock_that_is_wrong_is_told_to_its_host(
    central: Central, off: float, told: str
) -> None:
    answer = central.tell(status_of("attic"), at=now() + off)

    assert answer[0] == 422
    assert told in answer[1].replace("3601", "3600").replace("7199", "7200")


def test_what_is_too_large_is_not_read(central: Central) -> None:
    status, detail = central.post("attic", b"x" * (LIMIT + 1), "")

    assert (status, detail) == (413, "the report is larger than 256 KiB")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[" * 100_000,
        b'{"version": 1}',
        b'{"version": 1e999}',
        b"\xff",
        b'{"host": "attic", "report": {"number": NaN}}',
    ],
    ids=["empty", "deep", "short", "large", "no text", "no number"],
)
def test_nonsense_is_refused_though_it_is_signed(central: Central, body: bytes) -> None:
    answer = central.post("attic", body, signed(body, central.key("attic")))

    assert answer == (400, "the report is not in a form that we know")
    assert central.program.get("/healthz")[0] == 200


def test_it_is_left_alone_by_every_command(central: Central) -> None:
    central.tell(status_of("laptop"), at=now() + 5)
    central.wait("laptop", in_sync=True)

    for line in (
        *("apply", "apply laptop", "plan laptop", "keys send laptop", "reboot laptop"),
        *("rollback laptop --list", "ssh laptop", "hold laptop --reason x"),
    ):
        done = central.program.run(*line.split(), status=1)

        told = " ".join((done.stdout + done.stderr).split())
        assert "deploys itself (hosts." in told, line
        assert "transport: pull): give the command there" in told, line


def test_it_is_left_alone_by_the_api(central: Central) -> None:
    central.tell(status_of("laptop"), at=now() + 10)
    central.wait("laptop", in_sync=True)
    file = central.program.state / local_socket.NAME

    with local_socket.address(file) as name:
        socket = httpx.HTTPTransport(uds=name)
        with httpx.Client(transport=socket, timeout=patience(DEADLINE)) as client:
            for order in ("plan", "rollback", "retry", "adopt", "hold"):
                url = f"http://reconciler/api/v1/hosts/laptop/{order}"
                answer = client.post(url, json={"reason": "x"})
                assert answer.status_code == 409, order
                assert "deploys itself" in answer.json()["detail"], order


def test_its_key_is_given_and_not_asked_for(central: Central) -> None:
    done = central.program.run("trust", "kiosk", status=2)

    assert "deploys itself" in done.stderr
    assert "--next" in done.stderr


@pytest.mark.nix
def test_what_another_process_reports_of_this_machine_arrives(
    central: Central, tmp_path: Path
) -> None:
    """The whole way: a pass of a daemon in pull mode, its report, what is shown."""
    key = central.key("attic")
    with Program(tmp_path) as own:
        read_paths(
            own,
            HOSTS,
            hosts={"attic": {"transport": "local"}},
            nix={"options": OFFLINE},
            report={"url": central.program.address, "key": str(key)},
        )
        head = own.repository.head
        own.start()

        central.wait("attic", commit=head)

    told = central.status("attic")
    # What CI should have built is nowhere: the host itself says so.
    assert NOWHERE in told["error"]
    assert not told["in_sync"]
