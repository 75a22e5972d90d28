"""For whom files of sops say that they are encrypted."""

import json

import pytest

from reconciler.desired.recipients import (
    age_recipients,
    sops_others,
    sops_recipients,
)

ANN, KEANU = f"age1{'a' * 58}", f"age1{'k' * 58}"
SSH = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

YAML = f"""\
db:
    password: ENC[AES256_GCM,data:x,iv:y,tag:z,type:str]
sops:
    kms: []
    gcp_kms: []
    azure_kv: []
    hc_vault: []
    age:
        - recipient: {ANN}
          enc: |
            -----BEGIN AGE ENCRYPTED FILE-----
            YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSB4

            -----END AGE ENCRYPTED FILE-----
        - recipient: {KEANU}
          enc: |
            -----BEGIN AGE ENCRYPTED FILE-----
    lastmodified: "2026-01-01T00:00:00Z"
    mac: ENC[AES256_GCM,data:x,iv:y,tag:z,type:str]
    pgp: []
    unencrypted_suffix: _unencrypted
    version: 3.9.0
"""
METADATA = {"age": [{"recipient": ANN}, {"recipient": KEANU}], "pgp": None}
DOTENV = f"""\
PASSWORD=ENC[AES256_GCM,data:x,iv:y,tag:z,type:str]
sops_age__list_0__map_enc=-----BEGIN AGE ENCRYPTED FILE-----\\nYWdl
sops_age__list_0__map_recipient={ANN}
sops_age__list_1__map_recipient={KEANU}
sops_version=3.9.0
"""
INI = f"""\
[db]
password = ENC[AES256_GCM,data:x,iv:y,tag:z,type:str]

[sops]
age__list_0__map_recipient = {ANN}
age__list_1__map_recipient = {KEANU}
version                    = 3.9.0
"""


@pytest.mark.parametrize(
    "text",
    [
        YAML,
        f"{YAML}more: ENC[x]\n",
        json.dumps({"data": "ENC[x]", "sops": METADATA}),
        json.dumps({"data": "ENC[x]", "sops": METADATA}, indent=4),
        DOTENV,
        INI,
    ],
    ids=["yaml", "yaml-middle", "json", "json-wide", "dotenv", "ini"],
)
def test_the_keys_of_age_are_told(text: str) -> None:
    assert [one for one in sops_recipients(text.encode(), pgp=True) if one] == [
        ANN,
        KEANU,
    ]


@pytest.mark.parametrize(
    "more",
    [
        {"kms": [{"arn": "arn:aws:kms:x"}]},
        {"hc_vault": [{"vault_address": "https://vault"}]},
        {"key_groups": [{"age": [{"recipient": ANN}]}]},
        {"pgp": [{"fp": "A" * 40}]},
    ],
    ids=lambda more: str(next(iter(more))),
)
def test_nothing_is_said_where_something_else_may_decrypt(
    more: dict[str, object],
) -> None:
    text = json.dumps({"sops": {**METADATA, **more}}).encode()

    assert sops_recipients(text, pgp=True) == ()
    (name,) = more
    told = {"pgp": "OpenPGP keys", "key_groups": "key groups"}.get(name, name)
    assert sops_others(text, pgp=True) == told
    only_pgp = "pgp" in more
    assert bool(sops_recipients(text, pgp=False)) is only_pgp


def test_an_ssh_key_of_sops_is_named_as_age_does() -> None:
    text = json.dumps({"sops": {"age": [{"recipient": f"{SSH} keanu"}]}})

    (name,) = sops_recipients(text.encode(), pgp=True)

    assert len(name) == len("ssh-ed25519 abcdef")
    assert name.startswith("ssh-ed25519 ")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff\xfe",
        b"{",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"{}",
        b'{"sops": 1}',
        b'{"sops": {"age": "x"}}',
        b'{"sops": {"age": [1, {"recipient": 2}]}}',
        b"sops:\n  - x\n",
        b"sops:\n  a: [\n",
        b"password: plain\n",
        b"age-encryption.org/v1\n-> ssh-ed25519 toolong0 x\n---",
        b"age-encryption.org/v1\n-> X25519 abc\nx\n--- y",
        b"-----BEGIN AGE ENCRYPTED FILE-----\nx\n-----END AGE ENCRYPTED FILE-----",
    ],
)
def test_what_says_nothing_is_no_claim(text: bytes) -> None:
    assert sops_recipients(text, pgp=True) == ()
    assert age_recipients(text) == ()
