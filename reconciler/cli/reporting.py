"""What `check` says of hosts that deploy themselves, and of reporting from here."""

from reconciler.app import known_hosts
from reconciler.cli.screen.words import ago
from reconciler.errors import StateError
from reconciler.model import HostName
from reconciler.reports import keys_of, sign
from reconciler.settings import Settings
from reconciler.world import World


def told_reporting(world: World, host: HostName) -> tuple[str, str]:
    """Return why what *host* reports cannot count, if so, and when it has reported."""
    try:
        keys = keys_of(world.settings, known_hosts(world.settings), host)
        last = world.history.reports.last(host)
    except StateError as error:
        return str(error), ""
    if not keys:
        problem = (
            "deploys itself, and no key of it is known, so that nothing it reports"
            f" counts: run reconciler trust {host} --next KEY"
        )
        return problem, ""
    when = f"last {ago(world.now() - last.at)} ago" if last else "not yet"
    return "", f"deploys itself and reports, {when}"


def try_signing(settings: Settings) -> None:
    """Raise CommandError and its like where reports cannot be signed."""
    sign(b"", settings.report.key)
