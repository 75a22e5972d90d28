"""Networks of NixOps that are functions, called with what its state would hold."""

from pathlib import Path

import pytest

from reconciler.desired import Evaluator
from reconciler.errors import EvaluationError, LayoutError
from reconciler.model import HostName
from reconciler.settings import RepositorySettings, SshSettings
from tests.adapters.desired_nix import PLAIN, host, settings, write

pytestmark = pytest.mark.nix

KEANU = HostName("keanu")


def reads(*entry: str, physical: Path | None = None, **arguments: object) -> Evaluator:
    """Return what reads a network that is called with *arguments*."""
    repository = RepositorySettings.model_validate(
        {
            "url": "/srv/git/machines.git",
            "entry": entry,
            "arguments": arguments,
            "physical": physical,
        }
    )
    return Evaluator(settings().model_copy(update={"repository": repository}))


def test_functions_are_called_with_the_arguments_of_the_settings(
    tmp_path: Path,
) -> None:
    """As by NixOps: also those of required files, and modules may see them."""
    write(
        tmp_path,
        logical=f"""
        {{ domain, replicas, spare ? "none", ... }}: {{
          require = [ ./more.nix ];
          network.description = domain;
          keanu = {{ config, lib, ... }}: {{
            {PLAIN}
            deployment.tags = lib.genList (n: "${{domain}}-${{toString n}}") replicas
              ++ [ spare config.deployment.arguments.region.name ];
          }};
        }}
        """,
        physical="""
        { debug, ... }: { keanu.deployment.targetHost = if debug then "x" else "y"; }
        """,
        more="{ region, ... }: { defaults.deployment.tags = region.zones; }",
    )
    evaluator = reads(
        "logical.nix",
        "physical.nix",
        domain="home.arpa",
        replicas=2,
        debug=True,
        region={"name": "eu", "zones": ["a", "${b}"]},
    )

    assert evaluator.hosts(tmp_path) == ("keanu",)
    desired = evaluator.evaluate(tmp_path, KEANU)
    assert desired.target.address == "x"
    expected = {"home.arpa-0", "home.arpa-1", "none", "eu", "a", "${b}"}
    assert set(desired.tags) == expected


def test_an_argument_that_is_missing_is_named_with_the_setting(tmp_path: Path) -> None:
    write(tmp_path, network="{ domain, region }: { keanu = { }; }")

    with pytest.raises(EvaluationError) as caught:
        reads(region="eu").hosts(tmp_path)

    assert "network.nix asks for the argument domain" in str(caught.value)
    assert "set repository.arguments.domain" in str(caught.value)


def test_an_argument_that_a_file_does_not_take_is_told(tmp_path: Path) -> None:
    write(tmp_path, network="{ domain }: { keanu = { }; }")

    with pytest.raises(EvaluationError) as caught:
        reads(domain="x", typo="y").hosts(tmp_path)

    assert "unexpected argument 'typo'" in str(caught.value)
    assert "network.nix" in str(caught.value)
    assert "gets all of repository.arguments" in str(caught.value)


def test_arguments_of_what_is_no_network_are_refused(tmp_path: Path) -> None:
    """Else somebody waits for them to have an effect."""
    host(tmp_path, "keanu", f"{{ {PLAIN} }}")

    with pytest.raises(LayoutError, match=r"arguments is for NixOps networks"):
        reads(domain="x").hosts(tmp_path)


def test_what_arguments_say_is_part_of_what_a_host_is() -> None:
    keys = {reads(**{name: 1}).cache_key("t", KEANU) for name in ("a", "b")}

    assert len({*keys, reads().cache_key("t", KEANU)}) == 3


# --- what NixOps keeps in its state ----------------------------------------------


def test_a_physical_network_adds_to_hosts_and_makes_none(tmp_path: Path) -> None:
    checkout = write(
        tmp_path / "checkout",
        network=f"""
        {{
          defaults = {{ {PLAIN} }};
          keanu = {{ nodes, ... }}: {{
            deployment.tags = [ nodes.lufta.config.networking.publicIPv4 ];
          }};
          lufta = {{ deployment.targetHost = "lufta.example.org"; }};
        }}
        """,
    )
    physical = tmp_path / "physical.nix"
    module = """{ lib, ... }: {
      deployment.targetHost = lib.mkOverride 899 "192.0.2.1";
      networking.publicIPv4 = "192.0.2.1";
    }"""
    physical.write_text(f"{{ keanu = {module}; lufta = {module}; gone = {module}; }}")
    evaluator = reads(physical=physical)

    assert evaluator.hosts(checkout) == ("keanu", "lufta")
    keanu = evaluator.evaluate(checkout, KEANU)
    assert (keanu.target.address, keanu.tags) == ("192.0.2.1", ("192.0.2.1",))
    lufta = evaluator.evaluate(checkout, HostName("lufta"))
    assert lufta.target.address == "lufta.example.org", "the repository wins"
    before = evaluator.cache_key("t", KEANU)
    physical.write_text("{ }")
    assert evaluator.cache_key("t", KEANU) != before
    physical.unlink()
    with pytest.raises(LayoutError, match=r"physical\.nix is no file"):
        evaluator.hosts(checkout)


# --- options of morph's ----------------------------------------------------------


def test_no_rule_says_where_a_host_is_that_is_only_built(tmp_path: Path) -> None:
    only = "deployment.buildOnly = true;"
    write(tmp_path, network=f"{{ network = {{ }}; keanu = {{ {PLAIN} {only} }}; }}")
    ruled = SshSettings(address="{name}.lan")
    evaluator = Evaluator(settings().model_copy(update={"ssh": ruled}))

    target = evaluator.evaluate(tmp_path, KEANU).target

    assert target.address == ""


def test_what_morph_says_has_its_meaning_or_a_note(tmp_path: Path) -> None:
    write(
        tmp_path,
        ops__network=f"""
        {{
          keanu = {{
            {PLAIN}
            deployment.secrets.signing = {{
              source = "../secrets/key.txt";
              destination = "/var/secrets/signing.key";
              owner.user = "nginx";
              action = [ "sudo" "systemctl" "restart" "nginx" "a.socket" ];
            }};
            deployment.secrets.other = {{
              source = "/srv/other";
              destination = "/run/other";
              permissions = "0440";
              uploadAt = "post-activation";
              action = [ "systemctl" "reload" "nginx" ];
            }};
            deployment.preDeployChecks.cmd = [ {{ cmd = [ "true" ]; }} ];
          }};
          image = {{ {PLAIN} deployment.buildOnly = true; }};
        }}
        """,
    )
    evaluator = reads("ops/network.nix")

    desired = evaluator.evaluate(tmp_path, KEANU)

    signing, other = desired.keys["signing"], desired.keys["other"]
    assert (signing.path, signing.file) == (
        "/var/secrets/signing.key",
        "secrets/key.txt",
    )
    assert (signing.user, signing.group, signing.mode) == ("nginx", "root", 0o400)
    assert signing.restart_units == ("nginx.service", "a.socket")
    assert (other.file, other.mode, other.before_activation) == (
        "/srv/other",
        0o440,
        False,
    )
    first, second = desired.warnings
    assert "preDeployChecks are not run" in first
    assert "secrets.other is not run (systemctl reload nginx)" in second
    image = evaluator.evaluate(tmp_path, HostName("image"))
    assert (image.target.address, image.address_from) == ("", "")
