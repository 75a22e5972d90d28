"""Repositories as people have them, read by the machine's own Nix."""

import json
import os
import platform
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from reconciler.desired import Evaluator
from reconciler.desired.flake import Trees
from reconciler.errors import (
    EvaluationError,
    FetchError,
    LayoutError,
    PermanentError,
    UnknownHostError,
)
from reconciler.model import Commit, CommitId, HostName
from tests.adapters.desired_nix import NIXPKGS, PLAIN, settings
from tests.adapters.flakes import MADE, REV, Repository, as_fetched, nix

pytestmark = pytest.mark.nix


@pytest.fixture(scope="session")
def nixpkgs_input() -> Mapping[str, object]:
    """Put nixpkgs into the store; return what locks it."""
    return as_fetched()


@pytest.fixture
def repository(tmp_path: Path, nixpkgs_input: Mapping[str, object]) -> Repository:
    return Repository(tmp_path, nixpkgs_input)


# --- flakes ----------------------------------------------------------------------

TWO = """
  nixosConfigurations.web = system [ {
    networking.hostName = "www";
    systemd.services.hello.wantedBy = [ "multi-user.target" ];
    systemd.services.hello.script = "sleep 1d";
  } ];
  nixosConfigurations.db = system [ ];
"""


def test_a_flake_lists_its_hosts_and_they_evaluate(repository: Repository) -> None:
    repository.flake(TWO)

    desired = repository.evaluate("web")

    assert repository.hosts() == ("db", "web")
    assert desired.units["hello.service"].wanted  # type: ignore[index]
    assert repository.evaluator().why(repository.checkout) == "flake, by flake.nix"


def test_our_options_leave_the_system_as_its_own_tool_makes_it(
    repository: Repository,
) -> None:
    repository.flake(TWO)

    ours = repository.evaluate("web").derivation

    assert ours == repository.own_tool("nixosConfigurations.web")


def test_files_of_secrets_are_found_in_a_flake(repository: Repository) -> None:
    """Nix reads a copy of it, and says where that is."""
    stanza = "age-encryption.org/v1\n-> ssh-ed25519 AAAAAA x\ny\n--- z\n"
    repository.write("secrets/mail.age", stanza)
    repository.flake(
        """
        nixosConfigurations.web = system [ ({ lib, ... }: {
          options.age = lib.mkOption { type = lib.types.unspecified; };
          config.services.openssh.enable = true;
          config.age = {
            identityPaths = [ "/etc/ssh/ssh_host_ed25519_key" ];
            secrets.mail.file = ./secrets/mail.age;
          };
        }) ];
        """
    )

    (found,) = repository.evaluate("web").secrets

    assert found.file == "secrets/mail.age"
    assert found.recipients == ("ssh-ed25519 AAAAAA",)


def test_nothing_is_written_into_the_repository(repository: Repository) -> None:
    repository.flake(TWO)
    before = sorted(repository.checkout.rglob("*"))
    lock = (repository.checkout / "flake.lock").read_text()

    repository.evaluate("web")

    assert sorted(repository.checkout.rglob("*")) == before
    assert (repository.checkout / "flake.lock").read_text() == lock


def test_a_flake_sees_its_commit_as_nix_gives_it(repository: Repository) -> None:
    repository.flake(
        """
        nixosConfigurations.web = system [ {
          deployment.tags = [
            self.rev self.shortRev (toString self.revCount)
            (toString self.lastModified) self.lastModifiedDate
          ];
        } ];
        """
    )

    assert set(repository.evaluate("web").tags) == {
        REV,
        REV[:7],
        "3",
        str(MADE),
        "20231114221320",
    }


def test_evaluations_of_a_flake_are_of_a_commit_and_not_of_a_tree(
    repository: Repository,
) -> None:
    repository.flake(TWO)
    evaluator = repository.evaluator()
    fields = {"tree": "t", "branch": "main", "subject": "", "author": ""}
    one, other = (Commit(id=CommitId(c * 40), committed_at=0.0, **fields) for c in "ab")

    assert evaluator.identity(one, repository.checkout) != evaluator.identity(
        other, repository.checkout
    )


def test_a_flake_may_lie_in_a_folder(repository: Repository) -> None:
    repository.flake(TWO, folder="nix")
    if nix("nix-instantiate", "--version").endswith(" 2.8.0"):
        with pytest.raises(EvaluationError, match="bring a newer Nix"):
            repository.hosts(dir="nix")
        return

    assert repository.hosts(dir="nix") == ("db", "web")
    assert repository.evaluate("web", dir="nix").host == "web"


def test_without_an_address_a_host_is_listed_and_no_error(
    repository: Repository,
) -> None:
    repository.flake(TWO)

    desired = repository.evaluate("web")

    assert (desired.target.address, desired.address_from) == ("", "")


def test_one_host_that_throws_costs_no_other(repository: Repository) -> None:
    repository.flake(f"{TWO} nixosConfigurations.bad = throw ''so bad'';")

    assert repository.hosts() == ("bad", "db", "web")
    assert repository.evaluate("web").host == "web"
    with pytest.raises(EvaluationError, match="so bad"):
        repository.evaluate("bad")


def test_hosts_are_chosen_and_left_out(repository: Repository) -> None:
    repository.flake(f"{TWO} nixosConfigurations.iso = throw ''an image'';")

    assert repository.hosts(exclude=["iso"]) == ("db", "web")
    assert repository.hosts(entry=["w*"]) == ("web",)
    with pytest.raises(LayoutError, match="no host is called gone"):
        repository.hosts(entry=["gone"])


def test_a_repository_that_comin_serves_is_read_and_told_of(
    repository: Repository,
) -> None:
    repository.flake(
        """
        nixosConfigurations.web = system [ ({ lib, ... }: {
          options.services.comin = lib.mkOption { type = lib.types.unspecified; };
          config.services.comin.enable = true;
        }) ];
        """
    )

    (warning,) = repository.evaluate("web").warnings

    assert warning.startswith("services.comin switches this host without us")
    assert "testing-<host>" in warning


def test_a_host_may_be_called_otherwise(repository: Repository) -> None:
    """Its system stays as it is; what it is called elsewhere is known to nobody."""
    repository.flake(f"{TWO} nixosConfigurations.prod-mail = system [ ];")
    entry = ["web", "prod-*=*"]

    found = repository.evaluate("mail", entry=entry)

    assert repository.hosts(entry=entry) == ("mail", "web")
    assert found.derivation == repository.evaluate("prod-mail").derivation
    assert found.host == "mail"
    for name in ("prod-mail", "db"):
        with pytest.raises(UnknownHostError):
            repository.evaluate(name, entry=entry)


def test_errors_name_the_file_and_line_of_the_repository(
    repository: Repository,
) -> None:
    repository.flake("nixosConfigurations.web = system [ ./web.nix ];")
    repository.write("web.nix", "{\n  networking.hostName = nowhere;\n}\n")

    with pytest.raises(EvaluationError) as caught:
        repository.evaluate("web")

    assert (caught.value.file, caught.value.line) == ("web.nix", 2)
    assert "/nix/store" not in str(caught.value)


def test_a_file_that_is_no_nix_is_named(repository: Repository) -> None:
    repository.write("flake.nix", "{ outputs = ")

    with pytest.raises(PermanentError, match=r"flake\.nix:1"):
        repository.hosts()


def test_a_flake_without_a_lock_names_the_input(repository: Repository) -> None:
    repository.flake(TWO, lock=False)

    with pytest.raises(PermanentError, match=r"'nixpkgs'[\s\S]*nix flake lock"):
        repository.evaluate("web")


def test_an_input_that_is_away_is_named_and_tried_again(
    repository: Repository,
) -> None:
    """A forge that was down for a minute must not cost a commit its deployment."""
    url = "file:///nowhere/private.git"
    rev = "89abcdef" * 5
    repository.write(
        "flake.nix",
        f"""{{
          inputs.private.url = "git+{url}";
          outputs = inputs: {{ nixosConfigurations = inputs.private.hosts; }};
        }}""",
    )
    locked = {
        "type": "git",
        "url": url,
        "rev": rev,
        "ref": "refs/heads/main",
        "narHash": f"sha256-{'A' * 43}=",
    }
    original = {"type": "git", "url": url}
    nodes = {
        "private": {"locked": locked, "original": original},
        "root": {"inputs": {"private": "private"}},
    }
    lock = {"nodes": nodes, "root": "root", "version": 7}
    repository.write("flake.lock", json.dumps(lock))

    with pytest.raises(FetchError, match=r"input private .*of flake\.lock"):
        repository.hosts()


# --- inputs that the settings replace --------------------------------------------


def test_the_head_of_a_folder_is_taken_whoever_owns_it(tmp_path: Path) -> None:
    """People commit there as themselves, and the daemon is another user."""
    folder = tmp_path / "it's 100%20"
    folder.mkdir()
    git = ("git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b")
    (folder / "file").write_text("committed")
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "one"]):
        subprocess.run([*git, *words], check=True, timeout=60)
    (folder / "file").write_text("not yet")
    if os.geteuid() == 0:
        subprocess.run(["chown", "-R", "1:1", str(folder)], check=True, timeout=60)

    tree = Trees().add_input("private", folder, ())

    assert Path(tree.path, "file").read_text() == "committed"
    shutil.rmtree(folder / ".git" / "objects")
    with pytest.raises(FetchError, match=r"inputs\.private: .* cannot be read: fatal"):
        Trees().add_input("private", folder, ())


PRIVATE = """{
  inputs.lib.url = "git+file:///nowhere/lib.git";
  outputs = { self, lib }: { tags = [ "of-%s" lib.word (self.rev or "no-rev") ]; };
}"""


def with_private(repository: Repository) -> None:
    """Write a flake with inputs that only its owner can fetch, one of them twice."""
    repository.flake(
        """
        nixosConfigurations.web = system [ {
          deployment.tags = inputs.private.tags ++ [ self.rev (import inputs.data) ];
        } ];
        """
    )
    file = repository.checkout / "flake.nix"
    text = file.read_text().replace(
        "{ self, nixpkgs }:", "{ self, nixpkgs, ... }@inputs:"
    )
    file.write_text(
        text.replace(
            "inputs.nixpkgs.url",
            """inputs.private.url = "git+file:///nowhere/private.git";
            inputs.private.inputs.lib.follows = "word";
            inputs.word.url = "git+file:///nowhere/lib.git";
            inputs.data = { url = "git+file:///nowhere/data.git"; flake = false; };
            inputs.nixpkgs.url""",
        )
    )

    def away(name: str) -> Mapping[str, object]:
        url = f"file:///nowhere/{name}.git"
        locked = {"type": "git", "url": url, "rev": "89abcdef" * 5, "ref": "main"}
        original = {"type": "git", "url": url}
        return {
            "locked": {**locked, "narHash": f"sha256-{'A' * 43}="},
            "original": original,
        }

    lock_file = repository.checkout / "flake.lock"
    lock = json.loads(lock_file.read_text())
    lock["nodes"] |= {
        "private": {**away("private"), "inputs": {"lib": ["word"]}},
        "data": {**away("data"), "flake": False},
        "word": away("lib"),
    }
    lock["nodes"]["root"]["inputs"] |= {n: n for n in ("private", "data", "word")}
    lock_file.write_text(json.dumps(lock))


def git_repository(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    git = ("git", "-C", str(folder), "-c", "user.name=x", "-c", "user.email=x")
    for words in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "x")):
        subprocess.run([*git, *words], check=True, timeout=60)
    return folder


def test_inputs_are_replaced_by_what_the_settings_say(
    repository: Repository, tmp_path: Path
) -> None:
    with_private(repository)
    with pytest.raises(FetchError, match=r"nix\.inputs"):
        repository.evaluate("web")
    private = git_repository(tmp_path / "private", "flake.nix", PRIVATE % "head")
    head = nix("git", "-C", str(private), "rev-parse", "HEAD", plain=True)
    (private / "flake.nix").write_text(PRIVATE % "not-committed")
    for name, text in (
        ("data", '"a-file"'),
        ("lib", '{ outputs = _: { word = "l"; }; }'),
    ):
        file = {"data": "default.nix", "lib": "flake.nix"}[name]
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text(text)
    inputs = {
        "private": str(private),
        "data": str(tmp_path / "data"),
        "private/lib": str(tmp_path / "lib"),  # which follows another
    }

    desired = repository.evaluate("web", inputs=inputs)

    assert set(desired.tags) == {"of-head", "l", head, REV, "a-file"}
    evaluator = repository.evaluator(inputs=inputs)
    before = evaluator.cache_key("t", HostName("web"))
    git_repository(private, "flake.nix", PRIVATE % "next")
    assert evaluator.cache_key("t", HostName("web")) != before
    assert "of-next" in evaluator.evaluate(repository.checkout, HostName("web")).tags


def test_the_system_is_the_same_with_an_input_as_it_is_locked(
    repository: Repository, tmp_path: Path
) -> None:
    """With all that a flake knows of itself."""
    text = 'environment.etc.x.text = "${self} ${self.rev}";'
    repository.flake(f"nixosConfigurations.web = system [ {{ {text} }} ];")
    copy = tmp_path / "source"
    shutil.copytree(NIXPKGS, copy, symlinks=True)

    plain = repository.evaluate("web")
    replaced = repository.evaluate("web", inputs={"nixpkgs": str(copy)})

    assert replaced.derivation == plain.derivation


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ({"gone": "{folder}"}, "flake.lock has no input gone"),
        ({"nixpkgs/gone": "{folder}"}, "flake.lock has no input nixpkgs/gone"),
        ({"nixpkgs": "/nowhere"}, "nix.inputs.nixpkgs: /nowhere is no folder"),
    ],
)
def test_an_input_that_cannot_be_replaced_is_named(
    repository: Repository, tmp_path: Path, inputs: Mapping[str, str], told: str
) -> None:
    repository.flake(TWO)
    folder = tmp_path / "input"
    folder.mkdir()
    places = {name: place.format(folder=folder) for name, place in inputs.items()}

    with pytest.raises(PermanentError, match=told):
        repository.hosts(inputs=places)


def test_no_input_is_replaced_in_a_lock_of_a_newer_version(
    repository: Repository, tmp_path: Path
) -> None:
    repository.flake(TWO)
    (tmp_path / "input").mkdir()
    file = repository.checkout / "flake.lock"
    file.write_text(file.read_text().replace('"version": 7', '"version": 8'))

    with pytest.raises(PermanentError, match=r"version 8: nix\.inputs cannot replace"):
        repository.hosts(inputs={"nixpkgs": str(tmp_path / "input")})


def test_a_lock_of_a_newer_version_asks_for_a_newer_nix(
    repository: Repository,
) -> None:
    repository.flake(TWO)
    lock = repository.checkout / "flake.lock"
    lock.write_text(lock.read_text().replace('"version": 7', '"version": 99'))

    with pytest.raises(PermanentError, match="bring a newer Nix"):
        repository.hosts()


def test_a_flake_sees_nothing_outside_unless_it_may(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIXPKGS_ROLE", "web")
    monkeypatch.setenv("PASSWORD", "of the daemon")
    repository.flake(
        "nixosConfigurations.web = system [ { deployment.tags = ["
        ' "role=${builtins.getEnv "NIXPKGS_ROLE"}"'
        ' "password=${builtins.getEnv "PASSWORD"}" ]; } ];'
    )

    assert repository.evaluate("web").tags == ("password=", "role=")
    seen = repository.evaluate("web", pure=False)
    assert seen.tags == ("password=", "role=web")


def test_secrets_are_not_laid_over_a_flake_which_all_may_read(
    repository: Repository, tmp_path: Path
) -> None:
    repository.flake(TWO)

    with pytest.raises(LayoutError, match=r"repository\.secrets.*everybody"):
        repository.hosts(secrets={"secrets": tmp_path})


def test_a_flake_without_a_nixos_says_so(repository: Repository) -> None:
    """An empty list would take away all hosts, which may be in files beside it."""
    repository.flake("darwinConfigurations.mac = { };")

    with pytest.raises(LayoutError, match=r"no host.*flake.*layout"):
        repository.hosts()

    repository.write("hive.nix", "{ }")
    repository.write("hosts/web.nix", "{ }")
    with pytest.raises(
        LayoutError,
        match=r"beside it there is hive\.nix \(repository\.layout: colmena\) and "
        r"hosts/\*\.nix \(repository\.layout: hosts\)",
    ):
        repository.hosts()


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        (
            "darwinConfigurations.mac = { }; homeConfigurations.me = { };",
            r"darwinConfigurations \(macOS\) and homeConfigurations \(Home Manager\)",
        ),
        ("confctl = { };", r"confctl"),
        (
            "nixopsConfigurations.default = { domain }: { web = { }; };",
            r"nixopsConfigurations \(NixOps\)",
        ),
        (
            'nixopsConfigurations.default = throw "old";',
            r"nixopsConfigurations \(NixOps\)",
        ),
    ],
)
def test_what_a_flake_has_instead_of_a_nixos_is_named(
    repository: Repository, outputs: str, said: str
) -> None:
    repository.flake(outputs)

    with pytest.raises(LayoutError, match=rf"{said}[\s\S]*cannot be served"):
        repository.hosts()


def test_what_a_flake_has_besides_nixos_is_told_with_what_deploys_it(
    repository: Repository,
) -> None:
    repository.flake(f'{TWO} darwinConfigurations = throw "unread";')

    assert repository.hosts() == ("db", "web")
    told = repository.evaluator().why(repository.checkout)
    assert told.startswith("flake, by flake.nix; not served: darwinConfigurations is")
    assert "darwin-rebuild switch" in told


def test_what_is_no_set_of_hosts_and_no_host_is_told_as_such(
    repository: Repository,
) -> None:
    repository.flake("nixosConfigurations = [ ];")
    with pytest.raises(EvaluationError, match="nixosConfigurations is a list"):
        repository.hosts()

    repository.flake("nixosConfigurations.web = { };")
    with pytest.raises(EvaluationError, match="web is a set and no evaluated NixOS"):
        repository.evaluate("web")


def test_a_lock_with_a_merge_in_it_is_named(repository: Repository) -> None:
    repository.flake(TWO)
    repository.write("flake.lock", "<<<<<<< HEAD\n{}\n")

    with pytest.raises(PermanentError, match=r"flake\.lock is no JSON"):
        repository.hosts()


@pytest.mark.parametrize(
    ("file", "text"), [("nixops.nix", "{ network = { }; }"), ("hive.nix", "{ }")]
)
def test_a_network_may_have_no_host(
    repository: Repository, file: str, text: str
) -> None:
    """Unlike a flake, it is nothing else; who takes all hosts away is asked."""
    repository.write(file, text)

    assert repository.hosts() == ()


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"\0GITCRYPT\0\x80", "git-crypt has locked"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:a\n", "Git LFS"),
    ],
)
def test_a_file_that_a_filter_of_git_would_make_readable_is_told(
    repository: Repository, head: bytes, said: str
) -> None:
    repository.write("hosts/web.nix", "")
    (repository.checkout / "hosts/web.nix").write_bytes(head)

    with pytest.raises(EvaluationError, match=rf"hosts/web\.nix[\s\S]*{said}"):
        Evaluator(settings()).evaluate(repository.checkout, HostName("web"))


@pytest.mark.parametrize(
    "file", ["flake.nix", "hive.nix", "hosts/web.nix", "configuration.nix"]
)
def test_a_link_out_of_the_repository_is_no_host(
    repository: Repository, tmp_path: Path, file: str
) -> None:
    """What is behind it is in no commit."""
    (tmp_path / "outside.nix").write_text("{ }")
    (repository.checkout / file).parent.mkdir(exist_ok=True)
    (repository.checkout / file).symlink_to(tmp_path / "outside.nix")

    with pytest.raises(LayoutError, match=f"{file} is a link to .*outside"):
        repository.hosts()


def test_options_of_the_repositorys_own_make_ours_step_back(
    repository: Repository,
) -> None:
    repository.flake(
        """
        nixosConfigurations.web = system [ ({ lib, ... }: {
          options.deployment.targetHost = lib.mkOption { type = lib.types.str; };
          options.deployment.ring = lib.mkOption { type = lib.types.int; };
          config.deployment = { targetHost = "web.example.org"; ring = 3; };
        }) ];
        """
    )

    desired = repository.evaluate("web")

    assert desired.target.address == "web.example.org"
    assert desired.address_from == "deployment.targetHost"


@pytest.mark.parametrize(
    ("module", "source", "reached"),
    [
        (
            """options.clan.core.networking.targetHost = any;
            config.clan.core.networking.targetHost = "ops@web.pin:2022";""",
            "clan.core.networking.targetHost",
            ("web.pin", 2022, "ops"),
        ),
        (
            """options.lollypops.deployment.ssh = any;
            config.lollypops.deployment.ssh = { host = "web.lan"; user = "me"; };""",
            "lollypops.deployment.ssh.host",
            ("web.lan", 22, "me"),
        ),
        (
            """options.nixos-unified.sshTarget = any;
            config.nixos-unified.sshTarget = "me@web";""",
            "nixos-unified.sshTarget",
            ("web", 22, "me"),
        ),
        (
            'config._module.args.nixinate = { host = "10.0.0.7"; sshUser = "me"; };',
            "nixinate",
            ("10.0.0.7", 22, "me"),
        ),
    ],
)
def test_addresses_of_other_tools_are_read(
    repository: Repository, module: str, source: str, reached: tuple[str, int, str]
) -> None:
    repository.flake(
        "nixosConfigurations.web = system [ ({ lib, ... }: let "
        "any = lib.mkOption { type = lib.types.unspecified; }; "
        f"in {{ {module} }}) ];"
    )

    desired = repository.evaluate("web")

    target = desired.target
    assert desired.address_from == source
    assert (target.address, target.port, target.user) == reached


# --- deploy-rs -------------------------------------------------------------------


def test_deploy_rs_says_where_hosts_are(repository: Repository) -> None:
    repository.flake(
        f"""{TWO}
        deploy.sshUser = "deploy";
        deploy.nodes.web = {{
          hostname = "web.example.org";
          sshOpts = [ "-p" "17788" ];
          remoteBuild = true;
          profiles.system.user = "root";
          profiles.system.path = {{
            outPath = "wrapper";
            paths = [ self.nixosConfigurations.web.config.system.build.toplevel ];
          }};
        }};
        deploy.nodes.laptop = {{
          hostname = "laptop"; profiles.home.path = throw "not a system";
        }};
        darwinConfigurations.mac = throw "no NixOS";
        deploy.nodes.mac = {{ hostname = "mac"; profiles.system.path = "/mac"; }};
        """
    )

    web, db = repository.evaluate("web"), repository.evaluate("db")

    assert repository.hosts() == ("db", "web")
    assert web.address_from == "deploy.nodes"
    assert (web.target.address, web.target.port, web.target.user) == (
        "web.example.org",
        17788,
        "deploy",
    )
    assert db.target.address == ""
    assert (web.build_on_host, db.build_on_host) == (True, False)


def test_a_node_of_deploy_rs_may_be_called_otherwise(repository: Repository) -> None:
    repository.flake(
        f"""{TWO}
        deploy.nodes.www = {{
          hostname = "www";
          profiles.system.path.paths = [
            self.nixosConfigurations.web.config.system.build.toplevel
          ];
        }};
        """
    )

    assert repository.hosts() == ("db", "www"), "web is the same host"
    assert repository.evaluate("www").toplevel == repository.evaluate("web").toplevel
    # Whoever has only the configuration goes on to have it.
    assert repository.hosts(entry=["web", "db"]) == ("db", "web")
    assert repository.hosts(entry=["www=web", "web", "db"]) == ("db", "web")


def test_a_node_is_paired_with_its_own_configuration_whatever_the_others_are(
    repository: Repository,
) -> None:
    """
    Some are alike, some do not evaluate, and one node deploys what is nobody's.

    That hides no configuration, and neither does a node that does not evaluate.
    """
    repository.flake(
        f"""{TWO}
        nixosConfigurations.web-too = system [ {{ networking.hostName = "www"; }} ];
        nixosConfigurations.aaa = throw "broken";
        deploy.nodes = builtins.mapAttrs (hostname: toplevel: {{
          inherit hostname;
          profiles.system.path.paths = [ toplevel ];
        }}) {{
          one = self.nixosConfigurations.web.config.system.build.toplevel;
          two = (system [ {{
            networking.hostName = "www"; environment.etc.a.text = "";
          }} ]).config.system.build.toplevel;
          three = {{ }}.toplevel;
        }};
        """
    )

    assert repository.hosts() == ("aaa", "db", "one", "three", "two", "web-too")
    with pytest.raises(EvaluationError, match=r"two\.profiles.*none of the flake's"):
        repository.evaluate("two")
    with pytest.raises(EvaluationError, match="toplevel"):
        repository.evaluate("three")


def test_a_wrapper_of_an_older_deploy_rs_is_seen_through(
    repository: Repository,
) -> None:
    """Its buildEnv kept what it joins as JSON, without what else is known of it."""
    repository.flake(
        f"""{TWO}
        deploy.nodes.www = {{
          hostname = "www";
          profiles.system.path.pkgs = builtins.toJSON [ {{
            paths = [ self.nixosConfigurations.web.config.system.build.toplevel ];
          }} ];
        }};
        """
    )

    assert repository.hosts() == ("db", "www")


# --- clan ------------------------------------------------------------------------

CLAN = """
  clanInternals.inventoryClass.inventory.machines = {
    web = { tags = [ "edge" ]; deploy.targetHost = "ops@web.i:2022?Compression=yes"; };
    db = { tags = [ ]; deploy.targetHost = null; };
    gone.deploy.targetHost = throw "not this one";
  };
  nixosConfigurations = builtins.mapAttrs (name: more: system [
    ({ lib, ... }: let
      any = lib.mkOption { type = lib.types.unspecified; };
    in {
      options.clan.core = {
        settings = any; vars = any; networking = any; deployment = any;
      };
      config.clan.core = {
        settings.machine.name = name;
        networking.targetHost = "root@${name}.example.org";
        deployment.requireExplicitUpdate = more != { };
        vars.settings.secretStore = "sops";
        vars.generators.disk.files = more;
        vars.generators.mail.files.key = {
          secret = true; deploy = true; neededFor = "services";
        };
      };
    })
  ]) {
    web = { };
    db = {
      key = { secret = true; deploy = true; neededFor = "activation"; };
      early = { secret = true; deploy = true; neededFor = "partitioning"; };
      public = { secret = false; deploy = true; neededFor = "activation"; };
    };
  };
"""


def test_the_inventory_of_clan_says_where_machines_are(repository: Repository) -> None:
    """And wins over what their configurations say, as in clan's own command."""
    repository.flake(CLAN)

    web, db = repository.evaluate("web"), repository.evaluate("db")

    assert repository.hosts() == ("db", "web")
    assert web.address_from == "clan's inventory"
    assert (web.target.address, web.target.port, web.target.user) == (
        "web.i",
        2022,
        "ops",
    )
    assert web.tags == ("edge",)
    assert (db.target.address, db.address_from) == (
        "db.example.org",
        "clan.core.networking.targetHost",
    )


NETWORKS = """
  clan.exports = let
    network = priority: { networking = { inherit priority; }; peer = null; };
    at = hosts: {
      networking = null;
      peer = { inherit hosts; port = 22; user = null; };
    };
  in {
    "clan-core/internet:out::" = network 2000;
    "clan-core/internet:out:default:web" = {
      networking = null;
      peer = { hosts = [ { plain = "web.i"; } ]; port = 2022; user = "ops"; };
    };
    "clan-core/zerotier:zt::" = {
      networking = { priority = 900; module = "clan_lib.network.zerotier"; };
    };
    "clan-core/zerotier:zt::db" = at [ { plain = "fd00::2"; } ];
    "clan-core/wireguard:wg::" = network 1000;
    "clan-core/wireguard:wg::db" = at [ { plain = throw "nobody has generated it"; } ];
    "clan-core/tor:tor::" = {
      networking = { priority = 3000; module = "clan_lib.network.tor"; };
    };
    "clan-core/tor:tor:server:db" = at [ { plain = "x.onion"; } ];
    "clan-core/mycelium:my::" = network 800;
    "clan-core/mycelium:my:peer:db" = at [ { plain = "500::2"; } ];
    ":::" = { };
    "other" = { };
  };
"""


def test_networks_of_clan_say_where_machines_are(repository: Repository) -> None:
    """As its command tries them, but for what this machine needs to be a member of."""
    inventory = CLAN.replace("ops@web.i:2022?Compression=yes", "").replace(
        'deploy.targetHost = "";', "deploy.targetHost = null;"
    )
    repository.flake(inventory + NETWORKS)

    web, db = repository.evaluate("web"), repository.evaluate("db")

    assert (web.target.address, web.target.port, web.target.user) == (
        "web.i",
        2022,
        "ops",
    )
    assert web.address_from == "clan's network out"
    assert db.address_from == "clan.core.networking.targetHost"

    nowhere = inventory.replace('"root@${name}.example.org"', "null")
    repository.flake(nowhere + NETWORKS)
    db = repository.evaluate("db")
    assert (db.target.address, db.address_from) == ("fd00::2", "clan's network zt")
    assert repository.evaluate("web").address_from == "clan's network out"


def test_what_only_clans_own_command_brings_is_told(repository: Repository) -> None:
    repository.flake(CLAN)

    uploaded, explicit = repository.evaluate("db").warnings

    assert "vars disk/key are brought to the host by `clan vars upload db`" in uploaded
    assert "requireExplicitUpdate" in explicit
    assert repository.evaluate("web").warnings == ()

    older = CLAN.replace("inventoryClass.inventory", "inventory")
    repository.flake(older.replace('secretStore = "sops"', 'secretStore = "passage"'))
    web = repository.evaluate("web")
    (all_of_them,) = web.warnings
    assert "mail/key" in all_of_them
    assert web.address_from == "clan's inventory"


# --- NixOps 2 --------------------------------------------------------------------

NIXOPS = """
  nixopsConfigurations.default = {
    nixpkgs = %s;
    network.description = "two";
    defaults = { boot.isContainer = true; system.stateVersion = "25.05"; };
    web = { name, nodes, resources, ... }: {
      deployment.targetUser = "ops";
      deployment.tags = [ name nodes.db.config.networking.hostName ];
      deployment.keys.token.text = "secret";
    };
    db = { deployment.targetHost = "db.example.org"; };
  };
"""


def test_a_flake_may_hold_a_network_of_nixops(repository: Repository) -> None:
    """Evaluated by the flake's own nixpkgs, for the platform of the reconciler."""
    repository.flake(NIXOPS % "nixpkgs")

    web, db = repository.evaluate("web"), repository.evaluate("db")

    assert repository.hosts() == ("db", "web")
    assert (web.target.address, web.target.user) == ("web", "ops")
    assert (web.tags, list(web.keys)) == (("db", "web"), ["token"])
    assert (db.target.address, db.address_from) == (
        "db.example.org",
        "deployment.targetHost",
    )
    assert web.platform == f"{platform.machine()}-linux"


def test_what_a_network_of_a_flake_lacks_is_told(repository: Repository) -> None:
    repository.flake((NIXOPS % "nixpkgs").replace("nixpkgs = nixpkgs;", ""))
    with pytest.raises(EvaluationError, match="has no attribute nixpkgs, the flake"):
        repository.evaluate("web")

    # Who has both is served by what others of its tools deploy.
    repository.flake(f"{TWO} {NIXOPS % 'nixpkgs'}")
    assert repository.evaluate("web").address_from == ""


# --- Colmena ---------------------------------------------------------------------

HIVE = """
  {
    meta = {
      %s
      specialArgs.domain = "example.org";
      nodeSpecialArgs.db.domain = "internal";
    };
    defaults = { name, ... }: {
      boot.isContainer = true; system.stateVersion = "25.05";
      environment.etc.name.text = name;
    };
    web = { name, nodes, domain, lib, ... }: {
      imports = if builtins.length (builtins.attrNames nodes) == 2 then [
        { deployment.tags = [ "of-two" nodes.db.config.networking.hostName ]; }
      ] else [ ];
      deployment.targetHost = "${name}.${domain}";
      deployment.targetUser = "ops";
      deployment.targetPort = 2022;
      deployment.keys.token = { text = "secret"; user = "nobody"; };
    };
    db = [ ({ domain, ... }: { deployment.targetHost = "db.${domain}"; }) ];
  }
"""


def check_hive(repository: Repository) -> None:
    web, db = repository.evaluate("web"), repository.evaluate("db")

    assert repository.hosts() == ("db", "web")
    assert (web.target.address, web.target.port, web.target.user) == (
        "web.example.org",
        2022,
        "ops",
    )
    assert web.tags == ("nixos", "of-two")
    assert db.target.address == "db.internal"
    assert web.keys["token"].user == "nobody"


def test_a_hive_is_read_as_colmena_does(repository: Repository) -> None:
    repository.write("hive.nix", HIVE % f"nixpkgs = {NIXPKGS};")

    check_hive(repository)


def test_a_hive_of_a_flake_is_evaluated_with_its_own_nixpkgs(
    repository: Repository,
) -> None:
    hive = HIVE % 'nixpkgs = import nixpkgs { system = "x86_64-linux"; };'
    repository.flake(f"colmena = {hive};")

    check_hive(repository)


@pytest.mark.parametrize("form", ["file", "flake"])
def test_a_node_of_a_hive_is_where_its_name_leads(
    repository: Repository, form: str
) -> None:
    if form == "file":
        hive = f"{{ meta.nixpkgs = {NIXPKGS}; web = {{ {PLAIN} }}; }}"
        repository.write("hive.nix", hive)
    else:
        repository.flake(
            'colmena.meta.nixpkgs = import nixpkgs { system = "x86_64-linux"; };'
            f"colmena.web = {{ {PLAIN} }};"
        )

    desired = repository.evaluate("web")

    assert (desired.target.address, desired.address_from) == ("web", "its name")


def test_an_evaluated_hive_is_taken_as_it_is(repository: Repository) -> None:
    """Its nodes have Colmena's options, of which ours are not all."""
    repository.flake(
        """
        colmenaHive.nodes.web = system [ ({ lib, ... }: {
          options.deployment = {
            targetHost = lib.mkOption { type = lib.types.nullOr lib.types.str; };
            targetPort = lib.mkOption { default = null; };
            targetUser = lib.mkOption { default = "root"; };
            tags = lib.mkOption { default = [ "a" ]; };
            keys = lib.mkOption { default.token = {
              name = "token"; text = "secret"; keyFile = null; keyCommand = null;
              destDir = "/run/keys"; path = "/run/keys/token"; user = "root";
              group = "root"; permissions = "0600"; uploadAt = "pre-activation";
            }; };
          };
          config.deployment.targetHost = "web.example.org";
        }) ];
        """
    )
    texts = repository.evaluator().key_texts(
        repository.checkout, HostName("web"), ["token"]
    )

    desired = repository.evaluate("web")

    assert (desired.target.address, desired.tags) == ("web.example.org", ("a",))
    assert desired.keys["token"].mode == 0o600
    assert texts == {"token": b"secret"}


@pytest.mark.parametrize(
    ("hive", "said"),
    [
        ("{ meta = { }; network = { }; web = { }; }", "both `meta` and `network`"),
        ("{ __schema = 1; }", "evaluated already"),
        ("{ meta.nixpkgs = 3; web = { }; }", "meta.nixpkgs is neither a path"),
    ],
)
def test_a_wrong_hive_is_explained(
    repository: Repository, hive: str, said: str
) -> None:
    repository.write("hive.nix", hive)

    with pytest.raises(EvaluationError, match=said):
        repository.evaluate("web")


# --- other ways ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("npins/default.nix", "{{ nixpkgs = {{ outPath = {0}; }}; }}"),
        ("nix/sources.nix", "{{ system ? null }}: {{ nixpkgs = {0}; }}"),
    ],
)
def test_what_a_repository_pins_is_its_nixpkgs(
    repository: Repository, file: str, text: str
) -> None:
    repository.write(file, text.format(NIXPKGS))
    repository.write("hosts/web/configuration.nix", f"{{ ... }}: {{ {PLAIN} }}")

    assert repository.evaluate("web").address_from == "its name"


def test_an_attribute_of_a_file_may_hold_the_hosts(repository: Repository) -> None:
    repository.write(
        "default.nix",
        f"""
        {{ pkgs ? import {NIXPKGS} {{ }} }}: {{
          hosts.web = import {NIXPKGS}/nixos/lib/eval-config.nix {{
            system = "x86_64-linux"; modules = [ {{ {PLAIN} }} ];
          }};
          hosts.db = import {NIXPKGS}/nixos/lib/eval-config.nix {{
            system = "x86_64-linux";
            modules = [ {{ {PLAIN} networking.hostName = "database"; }} ];
          }};
        }}
        """,
    )
    entry = ["default.nix#hosts"]

    assert repository.hosts(entry=entry) == ("db", "web")
    assert repository.evaluate("db", entry=entry).host == "db"
