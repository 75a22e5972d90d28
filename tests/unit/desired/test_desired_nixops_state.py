"""What `nixops export` prints, and what is said of what it does not print."""

import json

import pytest

from reconciler.desired.nixops_physical import extra_hosts, quoted
from reconciler.desired.nixops_state import chosen, deployments
from reconciler.errors import ImportFileError


def machine_of(name: str, **fields: object) -> str:
    """Return an export of one machine."""
    machine = {"type": "none", **fields}
    return json.dumps({"u": {"resources": {name: machine}}})


PROD = {"a": {"name": "prod", "resources": {}}}


@pytest.mark.parametrize(
    ("text", "name", "told"),
    [
        ("x", "", "is no JSON"),
        ('"x"', "", "holds no deployment"),
        ("{}", "", "holds no deployment"),
        ('{"u": {"name": "a"}}', "", "u has no resources"),
        ('{"u": {"resources": {"a": {}}}}', "", "u.resources.a is no resource"),
        ('{"u": {"resources": {}, "args": "[1]"}}', "", "u.args is not what NixOps"),
        ('{"u": {"resources": {}, "nixExprs": "{"}}', "", "u.nixExprs is not what"),
        (
            json.dumps({"u": {"resources": {}, "args": "[" * 100_000}}),
            "",
            "u.args is not what NixOps",
        ),
        (machine_of(".."), "", "u.resources: '..' is no host name"),
        (machine_of(""), "", "u.resources: '' is no host name"),
        (machine_of("a", targetHost="-oX"), "", "u.resources.a: '-oX' is neither"),
        (machine_of("a", targetPort="70000"), "", "a.targetPort: '70000' is no port"),
        (machine_of("a", targetPort="ssh"), "", "a.targetPort: 'ssh' is no port"),
        (json.dumps({**PROD, "b": PROD["a"]}), "", "holds prod (a), prod (b): choose"),
        (json.dumps(PROD), "test", "holds prod (a): choose one with --deployment"),
    ],
)
def test_what_is_no_export_is_told(text: str, name: str, told: str) -> None:
    with pytest.raises(ImportFileError) as caught:
        chosen(deployments(text), name)

    assert told in str(caught.value)


def test_a_deployment_is_chosen_by_name_or_uuid() -> None:
    text = json.dumps({**PROD, "b": {"name": "test", "resources": {}}})

    assert [chosen(deployments(text), name).uuid for name in ("prod", "b")] == [
        "a",
        "b",
    ]


def test_machines_of_one_cloud_know_each_other_by_private_addresses() -> None:
    def machine(kind: str, number: int) -> dict[str, str]:
        public, private = f"192.0.2.{number}", f"10.0.0.{number}"
        return {"type": kind, "publicIpv4": public, "privateIpv4": private}

    machines = {"a": machine("ec2", 1), "b": machine("ec2", 2), "c": machine("none", 3)}
    (found,) = deployments(json.dumps({"u": {"resources": machines}}))
    first, _, third = found.machines

    assert extra_hosts(first, found.machines) == (
        "10.0.0.1 a a-unencrypted\n127.0.0.1 a-encrypted\n"
        "10.0.0.2 b b-unencrypted\n192.0.2.3 c c-unencrypted\n"
    )
    assert "192.0.2.1 a" in extra_hosts(third, found.machines)


def test_a_key_is_that_which_nixops_logs_in_with() -> None:
    key = {"privateKey": "p"}
    resources = {
        "new": {"type": "none", "none.sshPrivateKey": "x"},
        "old": {
            "type": "none",
            "none.sshPrivateKey": "x",
            "none.sshPublicKeyDeployed": "1",
        },
        "drop": {"type": "digitalOcean"},
        "gce": {"type": "gce", "gce.privateClientKey": "y"},
        "named": {"type": "ec2", "ec2.keyPair": "prod-pair"},
        "filed": {"type": "ec2", "ec2.keyPair": "z", "ec2.privateKeyFile": "/k"},
        "ssh-key": {"type": "ssh-key-pair", **key},
        "pair": {"type": "ec2-keypair", "ec2.keyPairName": "prod-pair", **key},
    }
    (found,) = deployments(json.dumps({"u": {"resources": resources}}))

    keys = {one.name: one.private_key for one in found.machines}
    assert keys == {
        "new": "",
        "old": "x",
        "drop": "p",
        "gce": "y",
        "named": "p",
        "filed": "",
    }
    assert [one.key_file for one in found.machines if one.name == "filed"] == ["/k"]


def test_a_text_of_the_nix_language_holds_anything() -> None:
    assert quoted('a"${b}\\\n') == '"a\\"\\${b}\\\\\\n"'
