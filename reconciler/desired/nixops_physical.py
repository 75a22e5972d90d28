"""
What NixOps adds to its machines at deploy time, out of its state, as a network (pure).

The same as ``get_physical_spec`` in NixOps 1.7 makes for machines that it has not made
itself, so that the systems stay what they are. Nothing here is a secret.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from reconciler.desired.nixops_state import Deployment, Machine

_HEAD = """\
# What NixOps kept of its machines in its state, and added when it deployed:
# deployment {name}. Written by `reconciler import`; `repository.physical` names it.
# Nothing here is a secret: it may as well be kept in the repository, as one more file
# of the network.
"""


def network(deployment: Deployment) -> str:
    """Return the text of a network file that says what NixOps would add."""
    machines = deployment.machines
    told = deployment.name or deployment.uuid
    name = "".join(char if char.isprintable() else "?" for char in told)
    bodies = (_machine(one, machines) for one in machines)
    return f"{_HEAD.format(name=name)}{{\n{''.join(bodies)}}}\n"


def extra_hosts(machine: Machine, machines: Sequence[Machine]) -> str:
    """Return the lines of /etc/hosts by which *machine* knows the others."""
    names: dict[str, list[str]] = defaultdict(list)
    for other in machines:
        if address := machine.address_of(other):
            names[address] += [other.name, f"{other.name}-unencrypted"]
    names["127.0.0.1"].append(f"{machine.name}-encrypted")
    in_order = sorted(names.items(), key=lambda item: item[1][0])
    return "".join(f"{address} {' '.join(of)}\n" for address, of in in_order)


def _machine(machine: Machine, machines: Sequence[Machine]) -> str:
    lines = "".join(f"    {line}\n" for line in _lines(machine, machines))
    return f"  {quoted(machine.name)} = {{ lib, ... }}: {{\n{lines}  }};\n"


def _lines(machine: Machine, machines: Sequence[Machine]) -> Iterator[str]:
    if machine.address:
        # Weaker than what the repository says, stronger than that it is called so.
        address = quoted(machine.address)
        yield f"deployment.targetHost = lib.mkOverride 899 {address};"
    if machine.private_ipv4:
        yield f"networking.privateIPv4 = {quoted(machine.private_ipv4)};"
    if machine.public_ipv4:
        yield f"networking.publicIPv4 = {quoted(machine.public_ipv4)};"
    if machine.vpn_key:
        yield f"networking.vpnPublicKey = {quoted(machine.vpn_key)};"
    yield f"networking.extraHosts = {quoted(extra_hosts(machine, machines))};"
    if machine.state_version:
        version = quoted(machine.state_version)
        yield f"system.stateVersion = lib.mkDefault {version};"
    if machine.authorized_key:
        keys = quoted(machine.authorized_key)
        yield f"users.users.root.openssh.authorizedKeys.keys = [ {keys} ];"
    yield from _known_hosts(machines)


def _known_hosts(machines: Sequence[Machine]) -> Iterator[str]:
    for other in (one for one in machines if one.host_key):
        ends = (f"{other.name}-unencrypted", f"{other.name}-encrypted", other.name)
        names = " ".join(map(quoted, ends))
        yield f"services.openssh.knownHosts.{quoted(other.name)} = {{"
        yield f"  hostNames = [ {names} ];"
        yield f"  publicKey = {quoted(other.host_key)};"
        yield "};"


def quoted(text: str) -> str:
    """Return *text* as a string of the Nix language."""
    for char, escape in (("\\", "\\\\"), ('"', '\\"'), ("${", "\\${"), ("\n", "\\n")):
        text = text.replace(char, escape)
    return f'"{text}"'
