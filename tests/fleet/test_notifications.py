"""People and a forge are told of what happens on a real host, whoever is killed."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support.fleet import FleetFactory
from tests.support.leaks import find_leaks, marked
from tests.support.receiver import Delivery, Receiver
from tests.support.rig import DEADLINE, Rig
from tests.support.wait import wait_until

HOST, BOT = "chrysalis", "withinbot.service"
SECRET = marked("token")


@dataclass(frozen=True)
class Told:
    """A rig whose daemon tells a phone and a forge."""

    rig: Rig
    phone: Receiver
    forge: Receiver

    def wait(self, kind: str) -> Delivery:
        """Wait for a message of *kind* on the phone; return it."""
        return wait_until(
            lambda: next((d for d in self.phone.deliveries if _is(d, kind)), None),
            DEADLINE,
            f"{kind} among {self.phone.titles}",
        )

    def wait_mark(self, commit: str, state: str) -> Delivery:
        """Wait until the forge is told of *state*; return that."""
        path = f"/repos/me/nixos-configs/statuses/{commit}"

        def found() -> Delivery | None:
            told = [one for one in self.forge.deliveries if one.path == path]
            return told[-1] if told and told[-1].json["state"] == state else None

        return wait_until(found, DEADLINE, f"{state} of {commit}")


def _is(delivery: Delivery, kind: str) -> bool:
    return bool(delivery.json["message"].startswith(f"[{kind}]"))


@pytest.fixture(scope="module")
def told(
    module_fleet: FleetFactory, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Told]:
    """Give one host with `heal: false`, and whoever is told of it."""
    folder = tmp_path_factory.mktemp("rig")
    fleet = module_fleet(HOST)
    url, token = folder / "url", folder / "token"
    with (
        Receiver() as phone,
        Receiver() as forge,
        Rig(folder, fleet, policy={"heal": False}) as rig,
    ):
        url.write_text(f"json://127.0.0.1:{phone.port}/{SECRET.decode()}\n")
        token.write_bytes(SECRET)
        rig.write_settings(
            notify={
                "targets": [
                    {
                        "name": "phone",
                        "url_file": str(url),
                        "body": ["[$kind] $host_list", "$details"],
                    }
                ],
                "group": "1s",
            },
            statuses={
                "provider": "github",
                "url": f"http://127.0.0.1:{forge.port}",
                "repository": "me/nixos-configs",
                "token_file": str(token),
            },
        )
        network = rig.repository.work / "network.nix"
        # Only this host: a commit waits for those that do not answer.
        network.write_text(network.read_text().split("  keanu = {")[0] + "}\n")
        rig.push("The services of one host")
        rig.run_daemon()
        rig.wait_in_sync(HOST)
        yield Told(rig, phone, forge)


def test_a_deployment_is_told_to_people_and_to_the_forge(told: Told) -> None:
    head = told.rig.repository.head

    message = told.wait("deployed").json
    status = told.wait_mark(head, "success").json

    assert message["title"] == f"deployed {head[:8]} to {HOST}"
    assert "The services of one host" in message["message"]
    (attempt,) = told.rig.json("history", HOST)
    assert attempt["id"] in message["message"]
    assert status["description"] == "on 1 host"


@pytest.mark.matrix
def test_drift_and_its_end_are_told_though_the_daemon_is_killed_between(
    told: Told,
) -> None:
    told.wait("deployed")
    before = len(told.phone.deliveries)
    told.phone.answering.clear()
    told.rig.host(HOST).exec("systemctl", "stop", BOT)
    told.wait("drift")

    told.rig.stop_daemon(kill=True)
    told.phone.answering.set()
    told.rig.run_daemon()
    # Nobody knows whether the first was accepted: it is sent again, and only once.
    told.phone.wait_for(before + 2)
    told.rig.host(HOST).exec("systemctl", "start", BOT)
    told.wait("healed")

    kinds = [one.json["title"] for one in told.phone.deliveries[before:]]
    assert kinds == [f"drift on {HOST}", f"drift on {HOST}", f"healed {HOST}"]
    assert f"unit-stopped {BOT}" in told.phone.deliveries[before].json["message"]
    wait_until(
        lambda: told.rig.metric("reconciler_notifications_pending") == 0,
        DEADLINE,
        "nothing to be left",
    )


def test_a_commit_that_fails_is_told_to_people_and_to_the_forge(told: Told) -> None:
    good = told.rig.repository.head
    told.rig.edit(f"hosts/{HOST}/configuration.nix", "{", "{ nonsense = 1;")
    bad = told.rig.push("Nonsense")

    status = told.wait_mark(bad, "failure").json
    message = told.wait("evaluation-failed").json

    assert status["description"].startswith(f"{HOST}: does not evaluate: ")
    assert "nonsense" in message["message"]
    told.rig.repository.git("revert", "--no-edit", "HEAD")
    told.wait_mark(told.rig.push("and back"), "success")
    told.wait("recovered")
    assert told.wait_mark(good, "success").json["description"] == "on 1 host"


def test_what_is_secret_stays_where_it_is(told: Told) -> None:
    told.wait("deployed")

    assert SECRET.decode() in told.phone.deliveries[0].path
    rig = told.rig
    listed = rig.run("notify", "list", "--json").stdout + rig.run("status").stdout
    texts = {"metrics": rig.get("/metrics")[1].encode(), "commands": listed.encode()}
    assert find_leaks(SECRET, state_dirs=[rig.state], logs=[rig.log], texts=texts) == []
