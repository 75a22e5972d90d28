"""How a checkout is read: which files say what the hosts are."""

from pathlib import Path

import pytest

from reconciler.desired import layout
from reconciler.errors import LayoutError
from reconciler.settings import Layout, RepositorySettings


def make(folder: Path, *files: str) -> Path:
    for name in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{ }")
    return folder


def find(
    checkout: Path,
    *entry: str,
    kind: Layout = Layout.AUTO,
    networks: frozenset[str] = frozenset(layout.NETWORK_FILES),
    folder: str = ".",
) -> layout.Found:
    settings = RepositorySettings(
        url="/srv/repo.git", layout=kind, entry=entry, dir=folder
    )
    return layout.find(checkout, settings, networks.__contains__)


def hosts(found: layout.Found) -> tuple[str, ...]:
    assert isinstance(found, layout.HostFolders)
    return found.hosts


def files(found: layout.Found) -> tuple[str, ...]:
    assert isinstance(found, layout.NetworkFiles)
    return found.files


# --- hosts -----------------------------------------------------------------------


def test_folders_with_a_configuration_are_hosts_and_others_are_not(
    tmp_path: Path,
) -> None:
    make(
        tmp_path,
        "hosts/keanu/configuration.nix",
        "hosts/chrysalis/configuration.nix",
        "hosts/common/default.nix",
        "hosts/profiles.nix",
        "hosts/.hidden/configuration.nix",
        "hosts/broken/configuration.nix/oops",
    )

    assert hosts(find(tmp_path)) == ("chrysalis", "keanu")


@pytest.mark.parametrize(
    ("pattern", "present"),
    [
        ("machines/*/configuration.nix", "machines/a/configuration.nix"),
        ("hosts/*/default.nix", "hosts/a/default.nix"),
        ("hosts/*.nix", "hosts/a.nix"),
        ("host-*/system.nix", "host-a/system.nix"),
        ("*/configuration.nix", "a/configuration.nix"),
        ("*.nix", "a.nix"),
    ],
)
def test_an_entry_says_where_hosts_are(
    tmp_path: Path, pattern: str, present: str
) -> None:
    make(tmp_path, present)

    assert hosts(find(tmp_path, pattern)) == ("a",)


def test_two_patterns_may_not_find_the_same_name(tmp_path: Path) -> None:
    make(tmp_path, "a/x/c.nix", "b/x/c.nix", "b/y/c.nix")

    with pytest.raises(LayoutError, match=r"x is a host by a/\*/c.nix and by b/\*/c"):
        find(tmp_path, "a/*/c.nix", "b/*/c.nix")


@pytest.mark.parametrize("pattern", ["hosts/configuration.nix", "*/*/c.nix"])
def test_a_pattern_has_one_star(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(LayoutError, match="exactly one"):
        find(tmp_path, pattern, kind=Layout.HOSTS)


def test_no_match_is_an_error_that_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match=r"hosts/\*/configuration.nix.*entry"):
        find(tmp_path, kind=Layout.HOSTS)


@pytest.mark.parametrize("name", ["we ird", "a'b\"c", "${pkgs}", "-x", "café"])
def test_odd_names_are_names(tmp_path: Path, name: str) -> None:
    make(tmp_path, f"hosts/{name}/configuration.nix")

    assert hosts(find(tmp_path)) == (name,)


@pytest.mark.parametrize("name", ["a\nb", "a\x1bb", "caf\udce9"])
def test_names_that_no_host_can_have_are_refused(tmp_path: Path, name: str) -> None:
    make(tmp_path, f"hosts/{name}/configuration.nix")

    with pytest.raises(LayoutError, match="cannot be the name of a host"):
        find(tmp_path)


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "x" * 256, "a\0b"])
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(LayoutError, match="cannot be the name of a host"):
        layout.check_name(name)


# --- networks --------------------------------------------------------------------


@pytest.mark.parametrize("name", layout.NETWORK_FILES)
def test_a_network_at_the_top_is_found(tmp_path: Path, name: str) -> None:
    make(tmp_path, name)

    assert files(find(tmp_path)) == (name,)
    assert files(find(tmp_path, kind=Layout.NIXOPS)) == (name,)


def test_a_network_wins_over_folders_and_can_say_so(tmp_path: Path) -> None:
    make(tmp_path, "network.nix", "hosts/a/configuration.nix")
    found = find(tmp_path)

    assert files(found) == ("network.nix",)
    assert hosts(find(tmp_path, kind=Layout.HOSTS)) == ("a",)


def test_two_networks_are_a_conflict_that_names_both(tmp_path: Path) -> None:
    make(tmp_path, "network.nix", "nixops.nix")

    with pytest.raises(LayoutError, match=r"nixops.nix and network.nix.*entry"):
        find(tmp_path)


def test_several_files_make_one_network_in_their_order(tmp_path: Path) -> None:
    make(tmp_path, "logical.nix", "physical.nix")

    found = find(tmp_path, "physical.nix", "logical.nix")

    assert files(found) == ("physical.nix", "logical.nix")


def test_a_missing_entry_is_named(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match=r"net/none.nix is not a file"):
        find(tmp_path, "net/none.nix")


def test_files_and_patterns_do_not_mix(tmp_path: Path) -> None:
    make(tmp_path, "network.nix", "hosts/a/configuration.nix")

    with pytest.raises(LayoutError, match="mixes"):
        find(tmp_path, "network.nix", "hosts/*/configuration.nix")


def test_an_empty_repository_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match=r"network\.nix.*hosts/\*/configuration\.nix"):
        find(tmp_path)
    with pytest.raises(LayoutError, match=r"network\.nix.*entry"):
        find(tmp_path, kind=Layout.NIXOPS)


def test_what_only_has_the_name_of_a_network_is_none(tmp_path: Path) -> None:
    make(tmp_path, "deploy.nix", "network.nix", "hosts/a/configuration.nix")

    assert hosts(find(tmp_path, networks=frozenset())) == ("a",)
    assert files(find(tmp_path, networks=frozenset({"deploy.nix"}))) == ("deploy.nix",)


def test_a_file_that_is_no_network_is_named_where_nothing_else_is_there(
    tmp_path: Path,
) -> None:
    make(tmp_path, "deploy.nix")

    with pytest.raises(LayoutError, match=r"deploy\.nix is not a NixOps network"):
        find(tmp_path, networks=frozenset())


# --- what is not said ------------------------------------------------------------


def test_a_flake_comes_first_then_a_hive_then_a_network_then_folders(
    tmp_path: Path,
) -> None:
    make(tmp_path, "hosts/a/configuration.nix")
    assert isinstance(find(tmp_path), layout.HostFolders)
    make(tmp_path, "network.nix")
    assert isinstance(find(tmp_path), layout.NetworkFiles)
    make(tmp_path, "hive.nix")
    assert find(tmp_path) == layout.Hive(file="hive.nix")
    make(tmp_path, "flake.nix")
    assert find(tmp_path) == layout.Flake()


def test_a_flake_may_lie_in_a_folder(tmp_path: Path) -> None:
    make(tmp_path, "nix/flake.nix", "hosts/a/configuration.nix")

    assert find(tmp_path, folder="nix") == layout.Flake(folder="nix")
    assert isinstance(find(tmp_path), layout.HostFolders)
    with pytest.raises(LayoutError, match=r"no os/flake\.nix .*repository\.dir"):
        find(tmp_path, kind=Layout.FLAKE, folder="os")


@pytest.mark.parametrize(
    "present",
    [
        "hosts/a/configuration.nix",
        "hosts/a/default.nix",
        "hosts/a.nix",
        "machines/a/configuration.nix",
        "machines/a/default.nix",
        "systems/a/configuration.nix",
        "systems/a/default.nix",
        "a/configuration.nix",
    ],
)
def test_usual_places_of_hosts_are_found(tmp_path: Path, present: str) -> None:
    make(tmp_path, present, "hosts/common/default.nix", "hosts/default.nix")

    assert hosts(find(tmp_path)) == ("a",)


def test_a_repository_of_one_host_is_called_as_it_is(tmp_path: Path) -> None:
    make(tmp_path, "configuration.nix", "hardware-configuration.nix")

    assert hosts(find(tmp_path)) == ("repo",)


def test_an_entry_may_name_an_attribute(tmp_path: Path) -> None:
    make(tmp_path, "default.nix", "flake.nix")

    found = find(tmp_path, "default.nix#machines.hosts")

    assert found == layout.Attribute(file="default.nix", path=("machines", "hosts"))
    assert layout.why(found) == "attribute machines.hosts of default.nix"


@pytest.mark.parametrize("entry", ["default.nix#", "default.nix#a..b", "gone.nix#a"])
def test_an_attribute_must_have_a_file_and_names(tmp_path: Path, entry: str) -> None:
    make(tmp_path, "default.nix")

    with pytest.raises(LayoutError, match=r"repository\.entry"):
        find(tmp_path, entry)
