"""What the newest commit says of hosts."""

from collections.abc import Container

import typer
from rich.text import Text

from reconciler.cli.common import KNOWN_ERROR, OK, out, print_json, waiting
from reconciler.cli.options import AsJson, Hosts
from reconciler.cli.screen.listing import Listing, Row
from reconciler.cli.screen.words import short_path
from reconciler.cli.worlds import for_each, hosts_meant, look, opened
from reconciler.errors import ReconcilerError
from reconciler.model import Desired, HostName, Target
from reconciler.revisions import Evaluations


def list_hosts(
    context: typer.Context, hosts: Hosts = None, *, as_json: AsJson = False
) -> None:
    """
    List the hosts of the newest commit and what they should run.

    Evaluates every host and asks none. Exit status 1 if one does not evaluate.

    ```
    reconciler hosts
    reconciler hosts --json | jq -r '.[] | select(.tags | index("web")).host'
    ```
    """
    with opened(context) as world:
        _, revision = look(world)
        evaluations = Evaluations(world)

        def evaluate(host: HostName) -> Desired | ReconcilerError:
            try:
                return evaluations.desired(revision, host)
            except ReconcilerError as error:
                return error

        names = hosts_meant(world, revision, hosts)
        with waiting("evaluating"):
            found = dict(zip(names, for_each(world, names, evaluate), strict=True))
        pulled = {name for name in names if world.live.pulls(name)}
    if as_json:
        print_json([_host_as_dict(*pair, pulled) for pair in found.items()])
    else:
        out.print(_host_table(found, pulled))
    bad = any(isinstance(one, ReconcilerError) for one in found.values())
    raise typer.Exit(KNOWN_ERROR if bad else OK)


def _host_as_dict(
    host: HostName, found: Desired | ReconcilerError, pulled: Container[HostName]
) -> dict[str, object]:
    transport = {"transport": "pull"} if host in pulled else {}
    if isinstance(found, ReconcilerError):
        return _host_fields(host, None) | transport | {"error": str(found)}
    return _host_fields(host, found) | transport


def _host_fields(host: HostName, found: Desired | None) -> dict[str, object]:
    return {
        "host": host,
        "transport": ("local" if found.target.local else "ssh") if found else None,
        "address": (found.target.address or None) if found else None,
        "port": found.target.port if found else None,
        "user": found.target.user if found else None,
        "address_from": (found.address_from or None) if found else None,
        "tags": list(found.tags) if found else [],
        "toplevel": found.toplevel if found else None,
        "services": _services(found) if found else [],
        "error": "",
    }


def _services(desired: Desired) -> list[str]:
    return sorted(
        unit.name
        for unit in desired.units.values()
        if unit.wanted and unit.name.endswith(".service")
    )


def _host_table(
    found: dict[HostName, Desired | ReconcilerError], pulled: Container[HostName]
) -> Listing:
    titles = ("HOST", "ADDRESS", "FROM", "TAGS", "SERVICES", "SYSTEM")
    rows = [_host_row(*pair, pulled) for pair in found.items()]
    return Listing(titles=titles, rows=rows)


def _reached(target: Target) -> str:
    if not target.address:
        return "no address"
    if target.local:
        return target.login
    return f"{target.user}@{target.address}:{target.port}"


def _host_row(
    host: HostName, found: Desired | ReconcilerError, pulled: Container[HostName]
) -> Row:
    if isinstance(found, ReconcilerError):
        return Row(cells=(host, "-", "-", "-", "-", "-"), note=Text(str(found), "red"))
    target = found.target
    return Row(
        cells=(
            host,
            "deploys itself" if host in pulled else _reached(target),
            found.address_from or "-",
            ", ".join(found.tags) or "-",
            str(len(_services(found))),
            short_path(found.toplevel),
        )
    )


COMMANDS = {"hosts": list_hosts}
