"""From the end of a reboot until a service runs again that waits for a key."""

from pathlib import Path

from tests.bench.report import Row, Section, Target
from tests.bench.setting import DEADLINE, HOST, HOSTS, SERVICE
from tests.support.fleet import Fleet, FleetHost
from tests.support.rig import Rig
from tests.support.wait import wait_until

LIMIT = 2.0  # seconds
SSHD = "sshd.service"


def measure(folder: Path, fleet: Fleet, rounds: int) -> Section:
    """Deploy, then reboot one host *rounds* times; the daemon brings its key back."""
    found = []
    with Rig(folder, fleet) as rig:
        rig.run_daemon()
        rig.push("The services of three hosts")
        rig.wait_in_sync(*HOSTS)
        host = rig.host(HOST)
        for _ in range(rounds):
            host.reboot()
            wait_until(lambda: host.is_active(SERVICE), DEADLINE, f"{SERVICE} to run")
            found.append(up_at(host, SERVICE) - up_at(host, SSHD))
            rig.wait_in_sync(HOST)
            look_twice(rig)
    row = Row(name="SSH answers to service active", values=tuple(found))
    return Section(
        title="A reboot, and a service that waits for its key",
        unit="s",
        rows=(row,),
        targets=(
            Target(name="added to the boot", value=row.median, limit=LIMIT, unit="s"),
        ),
        notes=("By the host's own clock, from systemd; nobody does anything.",),
    )


def look_twice(rig: Rig) -> None:
    """Let the daemon find nothing to do: attempts in a row are spaced out."""
    series = f'reconciler_passes_total{{host="{HOST}",result="success"}}'
    before = rig.metric(series) or 0.0
    wait_until(lambda: (rig.metric(series) or 0.0) > before + 1, DEADLINE, series)


def up_at(host: FleetHost, unit: str) -> float:
    """Return when *unit* became active; seconds, on the host's monotonic clock."""
    name = "ActiveEnterTimestampMonotonic"
    return int(host.exec("systemctl", "show", "-p", name, "--value", unit)) / 1e6
