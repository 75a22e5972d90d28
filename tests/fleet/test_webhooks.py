"""A delivery as GitHub sends it leads to a service that runs on a real host."""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fleet import FleetFactory
from tests.support.forge import Forge
from tests.support.hooks import SHARED, hexmac
from tests.support.rig import DEADLINE, Rig
from tests.support.wait import wait_until

FACTS = "printerfacts.service"
LUFTA = "hosts/lufta/configuration.nix"
SERVICES = "within.services = {"

# As GitHub documents a push, cut to one commit; its bytes are what is signed.
PAYLOAD = (
    '{{"ref":"refs/heads/main","before":"{before}","after":"{after}",'
    '"repository":{{"id":186853002,"node_id":"MDEwOlJlcG9zaXRvcnkxODY4NTMwMDI=",'
    '"name":"nixos-configs","full_name":"example/nixos-configs","private":false,'
    '"html_url":"https://github.com/example/nixos-configs",'
    '"git_url":"git://github.com/example/nixos-configs.git",'
    '"ssh_url":"git@github.com:example/nixos-configs.git",'
    '"clone_url":"https://github.com/example/nixos-configs.git",'
    '"default_branch":"main","master_branch":"main"}},'
    '"pusher":{{"name":"example","email":"example@users.noreply.github.com"}},'
    '"sender":{{"login":"example","id":21031067,"type":"User"}},'
    '"created":false,"deleted":false,"forced":false,"base_ref":null,'
    '"compare":"https://github.com/example/nixos-configs/compare/a...b",'
    '"commits":[],"head_commit":null}}'
)
DELIVERY = (
    "POST /hooks/github HTTP/1.1\r\n"
    "Host: localhost:{port}\r\n"
    "X-GitHub-Delivery: 72d3162e-cc78-11e3-81ab-4c9367dc0958\r\n"
    "X-Hub-Signature: sha1={sha1}\r\n"
    "X-Hub-Signature-256: sha256={sha256}\r\n"
    "User-Agent: GitHub-Hookshot/044aadd\r\n"
    "Content-Type: application/json\r\n"
    "Content-Length: {length}\r\n"
    "X-GitHub-Event: push\r\n"
    "X-GitHub-Hook-ID: 292430182\r\n"
    "X-GitHub-Hook-Installation-Target-ID: 79929171\r\n"
    "X-GitHub-Hook-Installation-Target-Type: repository\r\n"
    "\r\n"
)


def deliver(port: int, before: str, after: str) -> str:
    """Send a delivery byte for byte; return the first line of the answer."""
    body = PAYLOAD.format(before=before, after=after).encode()
    head = DELIVERY.format(
        port=port,
        sha1=hexmac(body, algorithm="sha1"),
        sha256=hexmac(body),
        length=len(body),
    )
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(head.encode() + body)
        return connection.makefile("rb").readline().decode().strip()


@pytest.fixture
def rig(fleet: FleetFactory, tmp_path: Path) -> Iterator[Rig]:
    """Give a host that is in sync with a repository that nobody watches."""
    secret = tmp_path / "hook-secret"
    secret.write_text(f"{SHARED}\n")
    with (
        Rig(tmp_path, fleet("lufta")) as rig,
        contextlib.closing(Forge(rig.repository.bare)) as forge,
    ):
        forge.serve()
        secrets = {"common/services/secrets": str(rig.secrets)}
        rig.write_settings(
            repository={"url": forge.url, "poll": "1h", "secrets": secrets},
            webhooks={"github": {"provider": "github", "secret_file": str(secret)}},
        )
        rig.push("Before any webhook")
        rig.run_daemon()
        rig.wait_in_sync("lufta")
        yield rig


def test_a_signed_delivery_leads_to_a_deployed_service(rig: Rig) -> None:
    before = rig.repository.head
    assert not rig.host("lufta").is_active(FACTS)
    rig.edit(LUFTA, SERVICES, f"{SERVICES}\n    printerfacts.enable = true;")
    after = rig.push("Facts about printers for lufta")

    assert deliver(rig.port, before, after) == "HTTP/1.1 202 Accepted"

    rig.wait_in_sync("lufta")
    wait_until(lambda: rig.host("lufta").is_active(FACTS), DEADLINE, FACTS)
    assert SHARED not in rig.log.read_text()
