"""
For whom files of sops and age are encrypted, as far as they say so in clear. Pure.

age-encryption.org/v1: a line ``-> type argument…`` for each recipient. Those of SSH
keys begin with a tag, four bytes of the hash of the key; those of age's own keys
(``X25519``) tell nothing of theirs. Sops writes its recipients into each file, below
the key ``sops``.
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import yaml

_ARMOR = re.compile(
    rb"\s*-----BEGIN AGE ENCRYPTED FILE-----(.*?)-----END AGE", re.DOTALL
)
_VERSION = b"age-encryption.org/v1\n"
_STANZA = re.compile(r"-> (ssh-ed25519|ssh-rsa) ([A-Za-z0-9+/]{6})(?: |$)")
_BLOCK = re.compile(r"^sops:[ \t]*\n(?:(?:[ \t].*)?\n)*", re.MULTILINE)
_FLAT = re.compile(
    r"^(?:sops_)?(\w+?)__list_\d+__map_(\w+)[ \t]*=[ \t]*\"?([^\"\n]*)", re.MULTILINE
)

_PGP = "pgp"
_OTHERS = (_PGP, "kms", "gcp_kms", "azure_kv", "hc_vault", "hckms")
"""What else may decrypt a file of sops; a host may have the rights for it."""


def age_recipients(content: bytes) -> tuple[str, ...]:
    """Return the SSH keys that a file of age names, as `ssh_name` gives them."""
    if armored := _ARMOR.match(content):
        try:
            content = base64.b64decode(armored[1])
        except binascii.Error:
            return ()
    if not content.startswith(_VERSION):
        return ()
    header = content.partition(b"\n---")[0].decode("ascii", errors="replace")
    found = (_STANZA.match(line) for line in header.split("\n"))
    return tuple(f"{one[1]} {one[2]}" for one in found if one)


def sops_recipients(content: bytes, *, pgp: bool) -> tuple[str, ...]:
    """
    Return the keys of age that a file of sops names.

    None where something else may decrypt it as well, or several together must. With
    *pgp* the host has keys of OpenPGP.
    """
    metadata = _metadata(content.decode("utf-8", errors="replace"))
    return () if _others(metadata, pgp=pgp) else tuple(_named(metadata.get("age")))


def sops_others(content: bytes, *, pgp: bool) -> str:
    """Return what else may decrypt a file of sops, for people; empty if nothing."""
    metadata = _metadata(content.decode("utf-8", errors="replace"))
    return ", ".join(_others(metadata, pgp=pgp))


def _others(metadata: Mapping[str, Any], *, pgp: bool) -> list[str]:
    names = [name for name in _OTHERS if metadata.get(name) and (pgp or name != _PGP)]
    told = ["OpenPGP keys" if name == _PGP else name for name in names]
    return [*told, *(["key groups"] if metadata.get("key_groups") else [])]


def ssh_name(kind: str, blob: bytes) -> str:
    """Return what age calls an SSH key in the files that are encrypted for it."""
    tag = base64.b64encode(hashlib.sha256(blob).digest()[:4]).decode().rstrip("=")
    return f"{kind} {tag}"


def _named(entries: object) -> Iterator[str]:
    for entry in entries if isinstance(entries, list) else []:
        text = entry.get("recipient") if isinstance(entry, Mapping) else None
        words = text.split() if isinstance(text, str) else []
        if len(words) > 1 and words[0].startswith("ssh-"):
            yield from _of_ssh(*words[:2])
        elif words:
            yield words[0]


def _of_ssh(kind: str, text: str) -> Iterable[str]:
    try:
        return (ssh_name(kind, base64.b64decode(text, validate=True)),)
    except binascii.Error:
        return (f"{kind} {text}",)


def _metadata(text: str) -> Mapping[str, Any]:
    """Return what sops says of a file: of JSON and binary ones, YAML, dotenv or INI."""
    found: object = None
    try:
        if text.lstrip().startswith("{"):
            found = json.loads(text).get("sops")
        elif block := _BLOCK.search(text + "\n"):
            found = yaml.safe_load(block[0])["sops"]
        else:
            found = _flat(text)
    except (ValueError, RecursionError, yaml.YAMLError, AttributeError):
        return {}
    return found if isinstance(found, Mapping) else {}


def _flat(text: str) -> dict[str, list[dict[str, str]]]:
    """Return what stands in lines such as ``sops_age__list_0__map_recipient=age1…``."""
    lists: dict[str, list[dict[str, str]]] = {}
    for name, key, value in _FLAT.findall(text):
        lists.setdefault(name, []).append({key: value.strip()})
    return lists
