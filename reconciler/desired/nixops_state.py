"""
What ``nixops export`` prints: all that NixOps knows and the repository does not (pure).

A JSON object with each deployment by its UUID: its attributes, which are texts as in
the state file (lists and tables are JSON inside of these), and ``resources`` by name,
with a ``type`` each. The names of attributes are those of NixOps 1.7 and 2
(``attr_property`` in its backends): those of one backend begin with its name and a dot.

Private keys are in it in clear. None of what is here is ever printed as a whole.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from reconciler.errors import ImportFileError
from reconciler.settings import values

SSH_PORT = 22
LAST_PORT = 65535

_PRIVATE = ("sshPrivateKey", "clientPrivateKey", "privateClientKey")
_PUBLIC = ("sshPublicKey", "clientPublicKey", "publicClientKey")
_HOST_KEYS = ("publicHostKey", "sshHostKey")
_DISK_KEY = re.compile(r'"generatedKey": *"[^"]')
_KEY_PAIRS = ("ssh-key-pair", "ec2-keypair")
_AMONG_THEMSELVES = ("ec2", "libvirtd", "virtualbox", "gce", "container")
"""Types of machines that reach others of their type by private addresses."""

_MACHINES = (
    "azure",
    "azure-vm",
    "container",
    "digitalOcean",
    "droplet",
    "ec2",
    "gce",
    "hcloud",
    "hetzner",
    "libvirtd",
    "none",
    "packet",
    "hetznercloud",
    "vagrant",
    "virtualbox",
    "vultr",
)

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What the state says of one machine; empty where it says nothing."""

    name: str
    type: str
    address: str = ""
    port: int = SSH_PORT
    public_ipv4: str = ""
    private_ipv4: str = ""
    vpn_key: str = ""
    state_version: str = ""
    host_key: str = ""
    authorized_key: str = ""  # that NixOps adds to root's
    private_key: str = field(default="", repr=False)  # that it logs in with
    key_file: str = ""  # of the person, that it logs in with
    disk_keys: bool = False  # there are some that NixOps made

    def address_of(self, other: "Machine") -> str:
        """Return where NixOps tells this machine that *other* is."""
        near = self.type == other.type and self.type in _AMONG_THEMSELVES
        return (near and other.private_ipv4) or other.public_ipv4


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One deployment of NixOps's."""

    uuid: str
    name: str
    files: tuple[str, ...] = ()
    search_path: tuple[str, ...] = ()
    arguments: Mapping[str, str] = field(default_factory=dict)  # Nix expressions
    machines: tuple[Machine, ...] = ()
    others: tuple[str, ...] = ()  # resources that are no machines, with their types


def deployments(text: str) -> tuple[Deployment, ...]:
    """Return what an export holds; raises ImportFileError for any other text."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        message = f"is no JSON ({error}): it should be what `nixops export` prints"
        raise ImportFileError(message) from error
    if not isinstance(found, dict) or not found:
        message = "holds no deployment: it should be what `nixops export` prints"
        raise ImportFileError(message)
    return tuple(_deployment(uuid, fields) for uuid, fields in found.items())


def chosen(found: tuple[Deployment, ...], name: str) -> Deployment:
    """Return the deployment of that name or UUID; the only one, if none is named."""
    fitting = [one for one in found if not name or name in {one.uuid, one.name}]
    if len(fitting) == 1:
        return fitting[0]
    there = ", ".join(f"{one.name or 'unnamed'} ({one.uuid})" for one in found)
    message = f"holds {there}: choose one with --deployment"
    raise ImportFileError(message)


def _deployment(uuid: str, fields: object) -> Deployment:
    if not isinstance(fields, dict) or not isinstance(fields.get("resources"), dict):
        message = f"{uuid} has no resources: it should be what `nixops export` prints"
        raise ImportFileError(message)
    resources = {
        name: _checked(f"{uuid}.resources.{name}", one)
        for name, one in fields["resources"].items()
    }
    machines = {name: one for name, one in resources.items() if _is_machine(one)}
    others = sorted(resources.keys() - machines.keys())
    return Deployment(
        uuid=uuid,
        name=_text(fields, "name"),
        files=tuple(_inner(fields, "nixExprs", list, uuid)),
        search_path=tuple(_inner(fields, "nixPath", list, uuid)),
        arguments=_inner(fields, "args", dict, uuid),
        machines=tuple(
            _machine(f"{uuid}.resources", name, one, resources)
            for name, one in sorted(machines.items())
        ),
        others=tuple(f"{name} ({resources[name].get('type')})" for name in others),
    )


def _checked(place: str, fields: object) -> Json:
    if isinstance(fields, dict) and isinstance(fields.get("type"), str):
        return fields
    message = f"{place} is no resource with a type"
    raise ImportFileError(message)


def _is_machine(fields: Json) -> bool:
    # One that a later network no longer had, and that nobody destroyed, is of no use.
    return fields["type"] in _MACHINES and not _flag(fields, "obsolete")


def _inner(fields: Json, name: str, kind: type, place: str) -> Any:  # noqa: ANN401 -- JSON
    """Return a list or table of texts that stands as JSON in a text."""
    text = fields.get(name)
    if text is None:
        return kind()
    try:
        found = json.loads(text) if isinstance(text, str) else text
    except (ValueError, RecursionError):
        found = None
    inside = found.values() if isinstance(found, dict) else found
    if isinstance(found, kind) and all(isinstance(one, str) for one in inside or ()):
        return found
    message = f"{place}.{name} is not what NixOps writes there"
    raise ImportFileError(message)


def _machine(
    place: str, name: str, fields: Json, resources: Mapping[str, Json]
) -> Machine:
    public = _text(fields, "publicIpv4") or _ending(fields, "mainIPv4")
    private = _text(fields, "privateIpv4")
    by_private = any(_flag(fields, key) for key in _keys(fields, "usePrivateIpAddress"))
    address = _text(fields, "targetHost") or (by_private and private) or public
    address = address or private
    at = f"{place}.{_require(place, values.host_name, name)}"
    return Machine(
        name=name,
        type=fields["type"],
        address=address and _require(at, values.address, address),
        port=_port(f"{at}.targetPort", _text(fields, "targetPort")),
        public_ipv4=public,
        private_ipv4=private,
        vpn_key=_text(fields, "publicVpnKey"),
        state_version=_text(fields, "stateVersion"),
        host_key=_first(fields, _HOST_KEYS),
        authorized_key=_first(fields, _PUBLIC),
        private_key=_private_key(fields, resources),
        key_file=_ending(fields, "privateKeyFile"),
        disk_keys=_has_disk_keys(fields),
    )


def _require(place: str, check: Callable[[str], str], text: str) -> str:
    """Return *text*, of the export, if our settings could hold it."""
    try:
        return check(text)
    except ValueError as error:
        message = f"{place}: {error}: correct it there, or take it out"
        raise ImportFileError(message) from error


def _port(place: str, text: str) -> int:
    port = int(text or SSH_PORT) if text.isdecimal() or not text else 0
    if 0 < port <= LAST_PORT:
        return port
    message = f"{place}: {text!r} is no port: correct it there, or take it out"
    raise ImportFileError(message)


def _private_key(fields: Json, resources: Mapping[str, Json]) -> str:
    """Return the key that NixOps logs in with, of the machine or of a pair it names."""
    if fields["type"] == "none" and not _flag(fields, "none.sshPublicKeyDeployed"):
        return ""  # made, and not on the host yet
    if own := _first(fields, _PRIVATE):
        return own
    named = {_ending(fields, "keyPair")} - {""}
    pairs = {n: r for n, r in resources.items() if r["type"] in _KEY_PAIRS}
    for name, pair in pairs.items():
        of_droplets = (
            fields["type"] in {"digitalOcean", "droplet"} and name == "ssh-key"
        )
        if of_droplets or {name, _ending(pair, "keyPairName")} & named:
            return _text(pair, "privateKey")
    return ""


def _has_disk_keys(fields: Json) -> bool:
    generated = _ending(fields, "generatedEncryptionKeys")
    texts = (text for text in fields.values() if isinstance(text, str))
    return generated not in {"", "{}"} or any(map(_DISK_KEY.search, texts))


def _keys(fields: Json, last: str) -> Iterator[str]:
    return (key for key in fields if key == last or key.endswith(f".{last}"))


def _ending(fields: Json, last: str) -> str:
    """Return the text of the attribute of that name, of whatever backend."""
    return next(
        (text for key in _keys(fields, last) if (text := _text(fields, key))), ""
    )


def _first(fields: Json, lasts: tuple[str, ...]) -> str:
    return next((text for last in lasts if (text := _ending(fields, last))), "")


def _text(fields: Json, name: str) -> str:
    value = fields.get(name)
    return str(value).strip() if isinstance(value, str | int) else ""


def _flag(fields: Json, name: str) -> bool:
    return _text(fields, name).lower() in {"1", "true"}
