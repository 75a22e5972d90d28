"""The command line."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from fleetlib import fleet as fleets
from fleetlib.addresses import SSH_PORT, is_orphan, registered
from fleetlib.errors import FleetError
from fleetlib.generation import Expressions
from fleetlib.image import image
from fleetlib.places import FIRST_GENERATION, NIXPKGS, FleetDir, cache_dir
from fleetlib.prune import prune
from fleetlib.sources import CODENAMES

DESCRIPTION = """\
Start and stop real hosts on this machine: systemd, journald, sshd and Nix, each
with an address of its own in 127.80.0.0/12. Needs root and Debian.
"""
EXAMPLES = """\
examples:
  fleet up chrysalis keanu lufta --dir /tmp/fleet   three hosts, ready for SSH
  ssh -F /tmp/fleet/ssh_config chrysalis            log in to one
  fleet exec keanu --dir /tmp/fleet -- systemctl    run something without SSH
  fleet freeze keanu --dir /tmp/fleet               accepts TCP, then says nothing
  fleet kill lufta --dir /tmp/fleet                 cut its power
  fleet start lufta --dir /tmp/fleet                and switch it on again
  fleet list --dir /tmp/fleet                       who runs, and where
  fleet down --dir /tmp/fleet                       end and delete all of it

/tmp/fleet/fleet.yaml holds the ssh: and hosts: sections for reconciler.yaml.
Images are cached in $RECONCILER_FLEET_CACHE, $XDG_CACHE_HOME/reconciler-fleet or
/var/cache/reconciler-fleet.
"""
EXEC_FAILED = 125  # the tool's own failure, apart from the command's status


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool with *argv*; return the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    # What follows `--` belongs to the host, whatever it looks like.
    split = words.index("--") if "--" in words else len(words)
    arguments = _parser().parse_args(words[:split])
    arguments.remote = words[split + 1 :]
    os.umask(0o022)
    try:
        _check_rights(arguments)
        arguments.act(arguments)
    except FleetError as error:
        return _fail(arguments, str(error))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _fail(arguments, f"{where}{error.strerror}")
    except KeyboardInterrupt:
        print("fleet: interrupted; `fleet down` ends what has started", file=sys.stderr)
        return 130
    return 0


def _check_rights(arguments: argparse.Namespace) -> None:
    if os.geteuid() != 0 and arguments.needs_root:
        msg = "must be root: hosts need mounts, namespaces and control groups"
        raise FleetError(msg)


def _fail(arguments: argparse.Namespace, message: str) -> int:
    print(f"fleet: {message}", file=sys.stderr)
    return EXEC_FAILED if arguments.command == "exec" else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fleet",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_up(commands)
    _add_named(commands)
    _add_exec(commands)
    _add_list(commands)
    _add_cache(commands)
    return parser


if TYPE_CHECKING:
    _Commands: TypeAlias = argparse._SubParsersAction[  # noqa: SLF001 - its only name
        argparse.ArgumentParser
    ]


def _add(
    commands: "_Commands",
    name: str,
    act: Callable[[argparse.Namespace], None],
    summary: str,
    *,
    needs_dir: bool = True,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=summary, description=summary)
    parser.set_defaults(act=act, needs_root=True)
    if needs_dir:
        parser.add_argument(
            "--dir", required=True, type=_folder, help="the fleet's folder"
        )
    return parser


def _folder(text: str) -> FleetDir:
    return FleetDir(path=Path(text).resolve())


def _add_up(commands: "_Commands") -> None:
    parser = _add(commands, "up", _up, "start hosts; ends when all answer over SSH")
    parser.add_argument("names", nargs="+", metavar="NAME")
    _add_debian(parser)
    parser.add_argument(
        "--user",
        default="root",
        help="log in as USER, who may use sudo, doas and run0, instead of as root",
    )
    parser.add_argument(
        "--nix-size", metavar="SIZE", help="give /nix a disk of its own, such as 200M"
    )
    parser.add_argument(
        "--address-base", metavar="127.A.B", help="take this address block, A 80 to 95"
    )
    parser.add_argument(
        "--nixpkgs", type=Path, default=NIXPKGS, help="default: %(default)s"
    )
    parser.add_argument(
        "--first-generation",
        type=Path,
        default=FIRST_GENERATION,
        metavar="FILE",
        help="function of { nixpkgs, hostName } to a toplevel; default: %(default)s",
    )


def _add_debian(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--debian",
        type=int,
        choices=sorted(CODENAMES),
        default=min(CODENAMES),
        help="the release that the hosts stand on; default: %(default)s",
    )


def _add_named(commands: "_Commands") -> None:
    for name, act, summary in (
        ("start", _start, "switch hosts on that are off"),
        ("kill", _kill, "cut the power of hosts; their disks stay"),
        ("reboot", _reboot, "reboot hosts; ends when they answer again"),
        (
            "freeze",
            _freeze,
            "stop hosts in their tracks: TCP connects, nothing answers",
        ),
        ("thaw", _thaw, "let frozen hosts run on"),
    ):
        parser = _add(commands, name, act, summary)
        parser.add_argument("names", nargs="+", metavar="NAME")
    summary = "end and delete hosts, or the whole fleet"
    parser = _add(commands, "down", _down, summary, needs_dir=False)
    parser.add_argument("names", nargs="*", metavar="NAME")
    _add_which(parser, "every fleet that this checkout's tool has started")


def _add_exec(commands: "_Commands") -> None:
    summary = "run a command inside a host, without SSH; its exit status is passed on"
    parser = _add(commands, "exec", _exec, summary)
    parser.usage = "fleet exec NAME --dir DIR -- COMMAND…"
    parser.add_argument("name", metavar="NAME")


def _add_list(commands: "_Commands") -> None:
    summary = "show the hosts of a fleet"
    parser = _add(commands, "list", _list, summary, needs_dir=False)
    _add_which(parser, "every fleet of this machine")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(needs_root=False)


def _add_which(parser: argparse.ArgumentParser, all_fleets: str) -> None:
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--dir", type=_folder, help="the fleet's folder")
    which.add_argument("--all", action="store_true", help=all_fleets)


def _add_cache(commands: "_Commands") -> None:
    summary = "build the image only, into the cache"
    parser = _add(commands, "image", _image, summary, needs_dir=False)
    _add_debian(parser)
    summary = "end fleets whose folder is gone; delete what the cache no longer needs"
    parser = _add(commands, "prune", _prune, summary, needs_dir=False)
    parser.add_argument("--all", action="store_true", help="delete the whole cache")


def _up(arguments: argparse.Namespace) -> None:
    wanted = fleets.Wanted(
        names=arguments.names,
        debian=arguments.debian,
        user=arguments.user,
        nix_size=arguments.nix_size,
        base=arguments.address_base,
        expressions=Expressions(
            nixpkgs=arguments.nixpkgs, first_generation=arguments.first_generation
        ),
    )
    fleet = fleets.up(arguments.dir, wanted)
    for name in arguments.names:
        print(f"{name} {fleet.host(name).address}")


def _down(arguments: argparse.Namespace) -> None:
    if arguments.all:
        _down_all(arguments)
        return
    if not arguments.names and not fleets.is_fleet(arguments.dir):
        print(f"fleet: nothing to end in {arguments.dir.path}", file=sys.stderr)
        return
    fleets.down(arguments.dir, arguments.names)


def _down_all(arguments: argparse.Namespace) -> None:
    if arguments.names:
        msg = "--all ends whole fleets: leave the names out"
        raise FleetError(msg)
    for folder in registered(of_this_checkout=True).values():
        fleets.down(folder, [])
        print(f"ended the fleet in {folder.path}")


def _start(arguments: argparse.Namespace) -> None:
    fleets.start(arguments.dir, arguments.names)


def _kill(arguments: argparse.Namespace) -> None:
    fleets.kill(arguments.dir, arguments.names)


def _reboot(arguments: argparse.Namespace) -> None:
    fleets.reboot(arguments.dir, arguments.names)


def _freeze(arguments: argparse.Namespace) -> None:
    fleets.freeze(arguments.dir, arguments.names, wanted=True)


def _thaw(arguments: argparse.Namespace) -> None:
    fleets.freeze(arguments.dir, arguments.names, wanted=False)


def _exec(arguments: argparse.Namespace) -> None:
    if not arguments.remote:
        msg = "what to run? `fleet exec NAME --dir DIR -- COMMAND…`"
        raise FleetError(msg)
    host = fleets.load(arguments.dir).host(arguments.name)
    if host.state == "frozen":
        msg = f"{host.name} is frozen: `fleet thaw {host.name}` first"
        raise FleetError(msg)
    argv = host.enter_argv(arguments.remote)
    os.execvp(argv[0], argv)  # noqa: S606 - becomes the command: status, signals, tty


def _list(arguments: argparse.Namespace) -> None:
    folders = _fleets_of_machine() if arguments.all else [arguments.dir]
    rows = [row for folder in folders for row in _rows(folder)]
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        line = f"{row['name']:<20} {row['address']:<16} {row['state']:<8}"
        print(f"{line} Debian {row['debian']}  {row['dir']}")


def _fleets_of_machine() -> list[FleetDir]:
    fleets_by_block = registered().items()
    return [folder for block, folder in fleets_by_block if not is_orphan(block, folder)]


def _rows(folder: FleetDir) -> list[dict[str, object]]:
    hosts = fleets.load(folder).hosts.values()
    return [
        {
            "name": host.name,
            "address": host.address,
            "port": SSH_PORT,
            "user": host.user,
            "state": host.state,
            "debian": host.debian,
            "dir": str(folder.path),
        }
        for host in sorted(hosts, key=lambda host: host.name)
    ]


def _image(arguments: argparse.Namespace) -> None:
    print(image(arguments.debian))


def _prune(arguments: argparse.Namespace) -> None:
    for line in prune(everything=arguments.all):
        print(line)
    if not arguments.all:
        print(f"kept the rest of {cache_dir()}; --all deletes that too")
