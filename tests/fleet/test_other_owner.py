"""
A repository that was not written for us: other names, other habits, other units.

Its two machines say themselves which of their units may be restarted, and which are
started by a timer or a socket; all of that has to be respected.
"""

from collections.abc import Iterator

import pytest

from tests.support.extra import attempts
from tests.support.fleet import FleetFactory
from tests.support.rig import ROOT, Rig

OTHER_OWNER = ROOT / "tests" / "support" / "repos" / "other-owner"
HOSTS = ("attic", "cellar")
ASK = (
    "import socket; s = socket.socket(socket.AF_UNIX); s.connect('/run/quotes.sock');"
    " print(s.recv(200).decode())"
)


@pytest.fixture(scope="module")
def rig(
    module_fleet: FleetFactory, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Rig]:
    """Both machines, deployed by the first push."""
    folder = tmp_path_factory.mktemp("rig")
    with Rig(folder, module_fleet(*HOSTS), content=OTHER_OWNER) as rig:
        rig.run_daemon()
        rig.push("The house")
        rig.wait_in_sync(*HOSTS)
        yield rig


def test_units_of_every_kind_are_in_sync(rig: Rig) -> None:
    cellar = rig.host("cellar")
    assert cellar.is_active("backup.timer")
    assert not cellar.is_active("backup.service"), "its timer starts it, not we"
    assert cellar.is_active("quotes.socket")
    assert not cellar.is_active("quotes.service"), "nobody has asked for a quotation"
    assert not cellar.is_active("house-stamp.service"), "it ends when it is done"
    assert cellar.exec("cat", "/var/lib/house/booted")

    assert cellar.exec("python3", "-c", ASK).strip()

    assert cellar.is_active("quotes.service")
    assert len(attempts(rig, "cellar")) == 1, "none of this is drift"


def test_each_unit_takes_a_change_in_the_way_it_declares(rig: Rig) -> None:
    attic = rig.host("attic")
    worker = rig.invocation("attic", "worker.service")
    greeter = rig.invocation("attic", "greeter.service")
    rig.edit("roles/worker.nix", "working", "working harder")
    rig.edit("machines/addresses.nix", "Mind the stairs.", "Mind the cat.")
    rig.edit("roles/quotes.nix", "The light is on", "The lamp is lit")

    rig.push("A better house")

    rig.wait_in_sync(*HOSTS)
    assert rig.invocation("attic", "worker.service") == worker, "not restarted"
    assert rig.invocation("attic", "greeter.service") == greeter, "reloaded"
    journal = ("journalctl", "--unit=greeter", "--output=cat", "--no-pager")
    assert "Mind the cat." in attic.exec(*journal)
    assert attic.is_active("quotes.socket")
    assert attic.is_active("worker.service")


def test_a_service_that_is_pulled_from_git_leaves_the_machine(rig: Rig) -> None:
    rig.edit("nixops.nix", 'thick ++ [ "worker" ]', "thick")
    rig.edit("nixops.nix", 'thick = [ "greeter" "quotes" ]', 'thick = [ "greeter" ]')

    rig.push("A quiet house")

    rig.wait_in_sync(*HOSTS)
    attic = rig.host("attic")
    for unit in ("worker.service", "quotes.socket", "quotes.service"):
        assert not attic.is_active(unit)
        assert attic.exec_status("systemctl", "cat", unit) != 0
    assert attic.is_active("greeter.service")
