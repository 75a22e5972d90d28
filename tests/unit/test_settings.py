"""The settings file: what it may say, and what is said about what it may not."""

import contextlib
import re
import textwrap
from enum import Enum
from pathlib import Path
from typing import get_origin

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from reconciler.errors import SettingsError
from reconciler.model import Adopt, Heal
from reconciler.settings import (
    SOURCEHUT_KEY,
    HostSettings,
    Layout,
    NotifyTarget,
    OverlaySettings,
    Sender,
    Settings,
    StatusTarget,
    TokenSettings,
    WebhookSettings,
    load,
    local_path,
)
from reconciler.settings.schema import UnitSettings
from reconciler.settings.values import (
    DURATION_FORMS,
    LONGEST,
    duration,
    heal,
    memory_of,
)
from tests.support.wait import within

DOCS = Path(__file__).parents[2] / "docs/settings.md"
MINIMAL = "repository: {url: /srv/repo.git}\n"


def write(folder: Path, text: str) -> Path:
    file = folder / "reconciler.yaml"
    file.write_text(textwrap.dedent(text), encoding="utf-8")
    return file


def problems(folder: Path, text: str) -> list[str]:
    """Return what is wrong with *text*, each without the path of the file."""
    file = write(folder, text)
    with pytest.raises(SettingsError) as caught:
        load(file)
    lines = str(caught.value).splitlines()
    assert all(line.startswith(f"{file}:") for line in lines)
    return [line.removeprefix(f"{file}:") for line in lines]


def problem(folder: Path, text: str) -> str:
    (line,) = problems(folder, text)
    return line


def loaded(folder: Path, text: str) -> Settings:
    return load(write(folder, text))


# --- what is accepted ------------------------------------------------------------


def test_only_the_url_is_needed(tmp_path: Path) -> None:
    settings = loaded(tmp_path, MINIMAL)

    assert settings == Settings.model_validate({"repository": {"url": "/srv/repo.git"}})
    assert settings.policy.mode is None
    assert settings.policy.adopt is Adopt.ASK
    assert settings.repository.layout is Layout.AUTO


def test_a_file_that_says_everything(tmp_path: Path) -> None:
    settings = loaded(
        tmp_path,
        """\
        repository:
          {url: "git@example.org:infra.git", branch: feature/x, poll: 1h30m,
           layout: nixops, entry: [network.nix],
           secrets: {common/secrets/: private, .: /var/lib/all}}
        secrets: {identity: [age.key, /etc/ssh/key], command_timeout: 5s}
        nix:
          path: [nixpkgs=nixpkgs, "nixos=https://example.org/x.tar.gz", ~/extra]
          options: {cores: 4, sandbox: false, substituters: https://example.org}
          evaluate_timeout: 2m
          build_timeout: 1d
        ssh: {identity: keys/id, known_hosts: /etc/known, connect_timeout: 2.5}
        hosts:
          chrysalis: {address: "::1", port: 2222, user: deploy}
          no: {address: example.org}
          7:
        policy:
          {mode: report, heal: no, parallel: 3, interval: 5,
           units: {app: {heal: restart-only}, a.timer: {heal: no}}}
        http: {listen: "[::1]:0"}
        state: ../state
        """,
    )

    assert settings.repository.poll == 5400
    assert settings.repository.layout is Layout.NIXOPS
    assert settings.repository.folders_of_secrets == {
        "common/secrets": tmp_path / "private",
        ".": Path("/var/lib/all"),
    }
    assert settings.secrets.identity == (tmp_path / "age.key", Path("/etc/ssh/key"))
    assert settings.secrets.command_timeout == 5
    assert settings.nix.path == (
        f"nixpkgs={tmp_path}/nixpkgs",
        "nixos=https://example.org/x.tar.gz",
        str(Path("~/extra").expanduser()),
    )
    assert settings.nix.options["sandbox"] == "false"
    assert settings.nix.options["cores"] == "4"
    assert settings.nix.build_timeout == 86400
    assert settings.ssh.identity == tmp_path / "keys/id"
    assert settings.ssh.known_hosts == Path("/etc/known")
    assert settings.ssh.connect_timeout == 2.5
    assert list(settings.hosts) == ["chrysalis", "no", "7"]
    assert settings.hosts["7"] == HostSettings()
    assert settings.policy.heal is False
    assert {n: u.heal for n, u in settings.policy.units.items()} == {
        "app.service": Heal.RESTART_ONLY,
        "a.timer": Heal.NOTHING,
    }
    assert settings.state.path == tmp_path / "../state"


def test_a_section_whose_lines_are_commented_out_means_its_defaults(
    tmp_path: Path,
) -> None:
    text = "nix:\n  # path: []\nhosts:\npolicy:\nssh:\nhttp:\n"

    assert loaded(tmp_path, MINIMAL + text) == loaded(tmp_path, MINIMAL)


def test_aliases_serve_several_hosts(tmp_path: Path) -> None:
    settings = loaded(tmp_path, MINIMAL + "hosts: {a: &x {port: 2022}, b: *x}\n")

    assert settings.hosts["a"] == settings.hosts["b"] == HostSettings(port=2022)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("/srv/repo", "/srv/repo"),
        ("repo.git", "{folder}/repo.git"),
        ("./re:po", "{folder}/re:po"),
        ("~/repo", str(Path("~/repo").expanduser())),
        ("file:///srv/repo", "file:///srv/repo"),
        ("https://example.org/a/b", "https://example.org/a/b"),
        ("ssh://git@example.org:22/a", "ssh://git@example.org:22/a"),
        ("git@example.org:a/b", "git@example.org:a/b"),
    ],
)
def test_every_form_of_repository(tmp_path: Path, url: str, expected: str) -> None:
    settings = loaded(tmp_path, f"repository: {{url: '{url}'}}")

    assert settings.repository.url == expected.format(folder=tmp_path)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("/srv/repo", Path("/srv/repo")),
        ("file:///srv/a%20repo", Path("/srv/a repo")),
        ("https://example.org/a", None),
        ("ssh://example.org/a", None),
        ("host:a", None),
        ("./host:a", Path("host:a")),
    ],
)
def test_only_a_path_of_this_machine_is_local(url: str, path: Path | None) -> None:
    assert local_path(url) == path


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("30s", 30),
        ("5m", 300),
        ("1h", 3600),
        ("2d", 172800),
        ("1h30m", 5400),
        ("1d2h3m4s", 93784),
        ("0.5s", 0.5),
        ("90", 90),
        (90, 90),
        (0.25, 0.25),
    ],
)
def test_durations(value: object, seconds: float) -> None:
    assert duration(value) == seconds


@given(st.integers(0, 86400 * 30))
def test_a_duration_survives_being_written_out(seconds: int) -> None:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)

    assert duration(f"{hours}h{minutes}m{rest}s") == seconds


@given(st.text() | st.floats() | st.booleans() | st.none())
def test_whatever_passes_for_a_duration_is_one(value: object) -> None:
    with contextlib.suppress(ValueError):
        assert 0 <= duration(value) <= LONGEST


@pytest.mark.parametrize(
    "value", ["", "s", "m5", "1x", "1h 5m", "5m1h", "-5s", "\u0661s"]
)
def test_what_is_no_duration(value: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        duration(value)


# --- what is refused -------------------------------------------------------------


def test_every_problem_is_said_at_once_in_the_order_of_lines(tmp_path: Path) -> None:
    text = """\
        repository:
          brnch: main
          poll: 1x
        hosts:
          a: {port: 22}
          a: {port: 23}
        policy: {parallel: 0}
        """

    assert problems(tmp_path, text) == [
        "1: repository.url: is missing, and has no default",
        "2: repository.brnch: is no setting; did you mean branch?",
        f"3: repository.poll: is no duration: '1x'; write {DURATION_FORMS}",
        "6: hosts.a: is given twice, first in line 5",
        "7: policy.parallel: should be at least 1, not 0",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("polcy: {}", "polcy: is no setting; did you mean policy?"),
        ("heal: true", "heal: is no setting; did you mean policy.heal?"),
        ("port: 22", "port: is no setting; did you mean hosts.NAME.port?"),
        ("hosts: {a: {adress: b}}", "hosts.a.adress: is no setting; did you mean add"),
        ("hosts: {a: {zz: b}}", "is no setting; there are: transport, address,"),
        ("<<: {}", "<<: is no setting; there are: repository, nix"),
        ("nix: 5", "nix: should be keys with values, not 5"),
        ("nix: []", "nix: should be keys with values, not a list"),
        ("nix: {path: a=b}", "nix.path: should be a list, not text"),
        ("nix: {path: [1]}", "nix.path[0]: should be text, not 1; put text in quotes"),
        ("nix: {path: [-x=]}", "nix.path[0]: '-x=' is not name=path"),
        ("nix: {options: {cores: 1.5}}", "nix.options.cores: should be text, a whole"),
        ("nix: {options: {--x: 1}}", "nix.options.--x: '--x' is no Nix option"),
        ("nix: {build_timeout: 0}", "nix.build_timeout: must be more than 0"),
        ("nix: {build_timeout: -5}", "nix.build_timeout: must be between 0 and 366d"),
        (
            "nix: {build_timeout: .nan}",
            "nix.build_timeout: .nan is not a plain decimal",
        ),
        ("nix: {build_timeout: 500d}", "nix.build_timeout: must be between 0 and"),
        ("nix: {build_timeout: true}", "nix.build_timeout: is no duration: True"),
        ("nix: {build_timeout: 1:30}", "nix.build_timeout: 1:30 is not a plain dec"),
        (
            "hosts: {a: {port: '22'}}",
            "hosts.a.port: should be a whole number, not '22'",
        ),
        ("hosts: {a: {port: 022}}", "hosts.a.port: 022 is not a plain decimal number"),
        (
            "hosts: {a: {port: true}}",
            "hosts.a.port: should be a whole number, not true",
        ),
        ("hosts: {a: {port: 70000}}", "hosts.a.port: should be at most 65535, not 700"),
        ("hosts: {a: {address: b:22}}", "hosts.a.address: 'b:22' is neither a host"),
        ("hosts: {a: {address: x@b}}", "the user belongs into `user`"),
        ("hosts: {a: {address: -oProxyCommand=x}}", "is neither a host name nor an"),
        (
            "hosts: {a: {address: 'fe80::1%e X'}}",
            "is neither a host name nor an IP",
        ),
        ("hosts: {a: {address: 10.0.0.1%eth0}}", "is neither a host name nor an IP"),
        ("hosts: {a: {user: -x}}", "hosts.a.user: '-x' is no user name"),
        ("hosts: {-a: {}}", "hosts.-a: '-a' is no host name"),
        ("hosts: {a/b: {}}", "hosts.a/b: 'a/b' is no host name"),
        (
            "policy: {units: {app: {heal: never}}}",
            "policy.units.app.heal: must be true, false or restart-only, not 'never'",
        ),
        (
            "policy: {units: {'a b': {heal: no}}}",
            "is no name of a unit: 'a b'; write one such as app.service",
        ),
        (
            "hosts: {a: {transport: push}}",
            "hosts.a.transport: should be ssh, local or pull, not 'push'",
        ),
        (
            "hosts: {a: {transport: pull, address: x, port: 22}}",
            (
                "hosts.a: `transport: pull` deploys itself and is never reached: take"
                " `address` and `port` out"
            ),
        ),
        (
            "hosts: {a: {host_keys: ssh-ed25519 AAAA}}",
            (
                "hosts.a.host_keys[0]: is no public key: write ssh-ed25519 AAAA…, as"
                " the .pub file of a host key has it"
            ),
        ),
        (
            "hosts: {a: {host_keys: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA}}",
            (
                "hosts.a: `host_keys` verify what a host with `transport: pull`"
                " reports; of others, `reconciler trust` records the keys: take"
                " `host_keys` out"
            ),
        ),
        (
            "report: {url: https://reconciler.example.org}",
            (
                "report: is of a host that deploys itself, and none is: write"
                " `transport: local` for the one that is this machine"
            ),
        ),
        (
            "report: {url: ftp://example.org}",
            (
                "report.url: is no address of a reconciler: write https://host, where"
                " its `http.listen` is reached"
            ),
        ),
        (
            "hosts: {a: {transport: local, address: x, user: x}}",
            "without SSH: take `address` and `user` out",
        ),
        (
            "hosts: {a: {transport: local}, b: {transport: local}}",
            "hosts: a and b cannot all be this machine",
        ),
        ("policy: {heal: 'yes'}", "policy.heal: should be true or false, not 'yes'"),
        ("policy: {heal: 1}", "policy.heal: should be true or false, not 1"),
        ("policy: {mode: on}", "policy.mode: should be auto or report, not true"),
        ("policy: {parallel: 1.5}", "policy.parallel: should be a whole number"),
        ("http: {listen: 9876}", "http.listen: should be text, not 9876"),
        ("http: {listen: localhost}", "http.listen: 'localhost' has no port"),
        ("http: {listen: 'a:99999'}", "http.listen: 'a:99999' has no port"),
        ("http: {listen: ':9876'}", "http.listen: ':9876' is not host:port"),
        ("http: {listen: '::1:9876'}", "http.listen: '::1:9876' is not host:port"),
        ("http: {listen: '[x]:9876'}", "http.listen: [x] is no IPv6 address"),
        ("http: {proxies: proxy}", "http.proxies[0]: 'proxy' is neither an IP addr"),
        ("http: {proxies: [10.0.0.1/8]}", "'10.0.0.1/8' is neither an IP address nor"),
        ("api: {tokens: {}}", "api.tokens: should be a list, not keys with values"),
        ("api: {tokens: [{name: a, role: root, file: x}]}", "viewer or operator, not"),
        ("api: {tokens: [{nam: a, role: viewer, file: x, name: b}]}", "mean name?"),
        (
            "api: {tokens: [&a {name: a, role: viewer, file: x}, *a]}",
            "api.tokens: two tokens are named 'a': the audit log would mix them",
        ),
        ("webhooks: {a: {}}", "webhooks.a.provider: is missing, and has no default"),
        ("webhooks: {a: {provider: svn}}", "webhooks.a.provider: should be github, gi"),
        ("webhooks: {a: {provider: github}}", "webhooks.a: `secret_file` is missing"),
        (
            "webhooks: {a: {provider: gitlab, secret_file: []}}",
            "webhooks.a: `secret_file` is missing: without a secret nobody is believed",
        ),
        (
            "webhooks: {a: {provider: github, secret_file: ''}}",
            "webhooks.a.secret_file[0]: is empty; write a path",
        ),
        (
            "webhooks: {a: {provider: sourcehut, secret_file: x}}",
            "webhooks.a: sourcehut has no secret: take `secret_file` out",
        ),
        (
            f"webhooks: {{a: {{provider: gogs, public_key: {SOURCEHUT_KEY}}}}}",
            "webhooks.a: `public_key` is for sourcehut only",
        ),
        (
            "webhooks: {a: {provider: sourcehut, public_key: eA==}}",
            "webhooks.a.public_key: what stands there is no Ed25519 public key",
        ),
        ("webhooks: {a/b: {provider: sourcehut}}", "'a/b' cannot end a URL"),
        ("webhooks: {a: {secrets: x, provider: gogs}}", "did you mean secret_file?"),
        ("state: ''", "state.path: is empty"),
        ("state: 5", "state.path: should be a path, not 5"),
        ("state: ~nobody-at-all/x", "nobody's home is known"),
        ('state: "a\\0b"', "state: holds control characters"),
        ("state: !!python/name:os.system ''", "state: has the tag !!python/name:os."),
        ("nix: !!python/object:os.x {}", "nix: has the tag !!python/object:os.x"),
    ],
)
def test_one_wrong_value(tmp_path: Path, text: str, expected: str) -> None:
    line, _, message = problem(tmp_path, f"{MINIMAL}{text}\n").partition(": ")

    assert line == "2"
    assert expected in message


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("ext::sh -c id", "ext:: could run any command"),
        ("fd::0", "fd:: could run any command"),
        ("--upload-pack=id", "is no repository"),
        ("", "is no repository"),
        ("ftp://example.org/a", "ftp:// is not supported"),
        ("git://example.org/a", "git:// is not supported"),
        ("https://", "names no host"),
        ("https://u:secret@example.org/a", "must not hold a login"),
        ("https://secret@example.org/a", "~/.netrc of the daemon's user"),
        ("HTTP://secret@example.org", "git credential helper"),
        ("https://secret:@example.org/a", "must not hold a login"),
        ("https://secret@\u2100.example/a", "must not hold a login"),
        ("ssh://git:secret@example.org/a", "must not hold a login"),
        ("https://example.org:port/a", "is no URL"),
        ("file://srv/repo", "needs three slashes"),
        ("ssh://-oProxyCommand=id/a", "is no host that ssh could reach"),
        ("-oProxyCommand=id:a", "is no repository"),
        ("x@-oProxyCommand=id:a", "is no host that ssh could reach"),
    ],
)
def test_a_dangerous_or_unknown_url(tmp_path: Path, url: str, expected: str) -> None:
    message = problem(tmp_path, f"repository: {{url: '{url}'}}")

    assert message.startswith("1: repository.url: ")
    assert expected in message
    assert "secret" not in message


@pytest.mark.parametrize(
    "branch",
    [
        "-x",
        "a..b",
        "a b",
        "a~1",
        "a:b",
        "a\\b",
        "a/",
        "/a",
        ".a",
        "a/.b",
        "x.lock",
        "@",
    ],
)
def test_what_cannot_be_a_branch(tmp_path: Path, branch: str) -> None:
    text = f"repository: {{url: /r, branch: '{branch}'}}"

    assert "cannot be the name of a branch" in problem(tmp_path, text)


def test_a_full_ref_is_answered_with_the_branch(tmp_path: Path) -> None:
    text = "repository: {url: /r, branch: refs/heads/main}"

    assert problem(tmp_path, text) == "1: repository.branch: write the branch as 'main'"


@pytest.mark.parametrize("text", ["{}", ""])
def test_a_section_about_signatures_that_asks_for_none_is_refused(
    tmp_path: Path, text: str
) -> None:
    told = problem(tmp_path, f"repository:\n  url: /srv/repo.git\n  verify: {text}\n")

    assert "repository.verify" in told
    assert "write `allowed_signers` or `openpgp`" in told


@pytest.mark.parametrize("entry", ["/etc/passwd", "../x", "a/../../x", "-x", "''"])
def test_an_entry_stays_inside_the_repository(tmp_path: Path, entry: str) -> None:
    text = f"repository: {{url: /r, entry: [{entry}]}}"

    assert "is no path inside the repository" in problem(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "1: repository: is missing, and has no default"),
        ("# nothing yet\n", "1: repository: is missing, and has no default"),
        ("- a\n", "1: should be keys with values, not a list"),
        ("hello\n", "1: should be keys with values, not text"),
        ("a:\n\tb: 1\n", "2: holds a tab where YAML wants spaces"),
        ("a: [1\nb: 2\n", "2: is not YAML: while parsing a flow sequence, expected"),
        ("a: 1\n---\nb: 1\n", "2: is not YAML: expected a single document"),
        ("a: *nowhere\n", "1: is not YAML: found undefined alias 'nowhere'"),
        ("a: b\n\nc: \x01\n", "3: is not YAML: special characters are not allowed"),
    ],
)
def test_what_is_no_settings_file(tmp_path: Path, text: str, expected: str) -> None:
    assert problem(tmp_path, text).startswith(expected)


def test_a_file_that_is_not_utf8(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_bytes(b"a: 1\nb: \xff\n")

    with pytest.raises(SettingsError, match=r"x\.yaml:2: is not UTF-8 text"):
        load(file)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"absent\.yaml: cannot be read: No such"):
        load(tmp_path / "absent.yaml")
    with pytest.raises(SettingsError, match="cannot be read: Is a directory"):
        load(tmp_path)


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_bytes(b"#" * (2 << 20))

    with pytest.raises(SettingsError, match="is larger than 1 MiB"):
        load(file)


def test_aliases_of_aliases_do_not_eat_memory(tmp_path: Path) -> None:
    levels = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    text = "\n".join(["a0: &a0 [x]", *levels])

    with within(20.0):
        assert "holds too many or too deep values" in problem(tmp_path, text)


@pytest.mark.parametrize("text", ["&a [*a]", "[" * 50, "[" * 100_000])
def test_deep_documents_do_not_eat_the_stack(tmp_path: Path, text: str) -> None:
    assert re.match(r"1: (holds|is not YAML)", problem(tmp_path, text))


# --- the reference ---------------------------------------------------------------

ROW = re.compile(
    r"^\| `([\w.]+)` \| [\w ]+ \| ?(`[^`]*`|none)? ?\| .+ \|$", re.MULTILINE
)

NAMED: dict[str, type[BaseModel]] = {
    "hosts": HostSettings,
    "secrets": OverlaySettings,
    "units": UnitSettings,
    "webhooks": WebhookSettings,
}

REFERENCE = ROW.findall(DOCS.read_text(encoding="utf-8"))


def fields(model: type[BaseModel], prefix: str = "") -> dict[str, object]:
    """Return the default of each setting by its name; sections are opened."""
    found: dict[str, object] = {}
    for name, field in model.model_fields.items():
        kind, default = field.annotation, field.get_default()
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found |= fields(kind, f"{prefix}{name}.")
        elif name in NAMED and get_origin(kind) is dict:
            found |= fields(NAMED[name], f"{prefix}{name}.NAME.")
        else:
            found[f"{prefix}{name}"] = default
    return found


def test_the_reference_names_every_setting() -> None:
    assert [name for name, _ in REFERENCE] == list(fields(Settings))


@pytest.mark.parametrize(("name", "default"), REFERENCE)
def test_the_reference_has_the_default(tmp_path: Path, name: str, default: str) -> None:
    """A default of the reference, written into a file, changes nothing."""
    if not default.startswith("`"):
        assert fields(Settings)[name] == (None if default else PydanticUndefined)
        return
    if name == "policy.units.NAME.heal":
        assert fields(Settings)[name] is heal(yaml.safe_load(default.strip("`")))
        return
    if ".NAME." in name:
        value, told = fields(Settings)[name], yaml.safe_load(default.strip("`"))
        assert value.value == told if isinstance(value, Enum) else list(value) == told  # type: ignore[call-overload]
        return
    settings: dict[str, object] = {"repository": {"url": "/srv/repo.git"}}
    *sections, key = name.split(".")
    held: object = settings
    for section in sections:
        assert isinstance(held, dict)
        held = held.setdefault(section, {})
    assert isinstance(held, dict)
    held[key] = yaml.safe_load(default.strip("`"))

    assert loaded(tmp_path, yaml.safe_dump(settings)) == loaded(tmp_path, MINIMAL)


def test_the_example_of_the_reference_loads(tmp_path: Path) -> None:
    text = DOCS.read_text(encoding="utf-8")
    example = text.split("```yaml\n")[1].split("```")[0]

    assert loaded(tmp_path, example).hosts["chrysalis"].address == "192.0.2.10"


# --- shares and sizes ------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "share"),
    [("0.25", 0.25), ("0", 0.0), ("1", 1.0), ("off", 1.0), ("'off'", 1.0)],
)
def test_a_part_of_a_whole(tmp_path: Path, text: str, share: float) -> None:
    settings = loaded(tmp_path, f"{MINIMAL}policy: {{removal_limit: {text}}}\n")

    assert settings.policy.removal_limit == share


@pytest.mark.parametrize("text", ["1.5", "-0.1", "half", "on", "50%", "[]", ".nan"])
def test_what_is_no_part_of_a_whole(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError) as refused:
        loaded(tmp_path, f"{MINIMAL}policy: {{removal_limit: {text}}}\n")

    assert "policy.removal_limit: " in str(refused.value)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1000", 1000),
        ("512K", 512 << 10),
        ("1.5G", 3 << 29),
        ("2T", 2 << 40),
    ],
)
def test_sizes(tmp_path: Path, text: str, size: int) -> None:
    settings = loaded(tmp_path, f"{MINIMAL}policy: {{min_free: {text}}}\n")

    assert settings.policy.min_free == size


@pytest.mark.parametrize("text", ["-1", "1.5", "10 M", "lots", "1MB", "yes", "M"])
def test_what_is_no_size(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError) as refused:
        loaded(tmp_path, f"{MINIMAL}policy: {{min_free: {text}}}\n")

    assert "policy.min_free: " in str(refused.value)


@pytest.mark.parametrize(
    ("text", "of_ten_thousand"), [("75%", 7500), ("0.5%", 50), ("6K", 6144)]
)
def test_memory_is_a_part_of_what_is_free_or_a_size(
    tmp_path: Path, text: str, of_ten_thousand: int
) -> None:
    settings = loaded(tmp_path, f"{MINIMAL}nix: {{memory: {text}}}\n")

    assert memory_of(settings.nix.memory, 10_000) == of_ten_thousand


@pytest.mark.parametrize("text", ["0%", "101%", "half", "%", "75 %"])
def test_what_is_no_memory(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError) as refused:
        loaded(tmp_path, f"{MINIMAL}nix: {{memory: '{text}'}}\n")

    assert "nix.memory: " in str(refused.value)


# --- arguments of networks -------------------------------------------------------


def test_arguments_are_any_value_that_nix_has(tmp_path: Path) -> None:
    text = 'arguments: {a: "1", b: [1, 2.5, null], c-d\': {e: yes}}'
    settings = loaded(tmp_path, f"repository: {{url: /srv/r.git, {text}}}\n")

    expected = {"a": "1", "b": [1, 2.5, None], "c-d'": {"e": True}}
    assert settings.repository.arguments == expected


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("{a b: 1}", "'a b' is no name of an argument"),
        (
            "{a: {b: [1.0e+999]}}",
            "repository.arguments.a: inf is no number that Nix has",
        ),
        ("[a]", "repository.arguments: should be keys with values, not a list"),
    ],
)
def test_what_is_no_argument(tmp_path: Path, arguments: str, told: str) -> None:
    text = f"repository: {{url: /srv/r.git, arguments: {arguments}}}\n"

    assert told in problem(tmp_path, text)


# --- inputs of flakes ------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "https://me:secret@example.org/a.tar.gz?narHash=x",
        "git+https://secret@example.org/a?rev=1",
        "git+ssh://git:secret@example.org/a",
    ],
)
def test_an_input_holds_no_login(tmp_path: Path, url: str) -> None:
    message = problem(tmp_path, f"{MINIMAL}nix: {{inputs: {{a: '{url}'}}}}\n")

    assert "nix.inputs.a: must not hold a login" in message
    assert "secret" not in message


def test_an_input_may_name_a_user_of_ssh(tmp_path: Path) -> None:
    url = "git+ssh://git@[::1]:22/a?rev=1"
    text = f"{MINIMAL}nix: {{inputs: {{a: '{url}'}}}}\n"

    assert loaded(tmp_path, text).nix.inputs == {"a": url}


# --- secrets ---------------------------------------------------------------------


def test_one_identity_needs_no_list(tmp_path: Path) -> None:
    settings = loaded(tmp_path, f"{MINIMAL}secrets: {{identity: age.key}}\n")

    assert settings.secrets.identity == (tmp_path / "age.key",)


@pytest.mark.parametrize("text", ["", "secrets:\n", "secrets: {identity: }\n"])
def test_no_identity_is_fine(tmp_path: Path, text: str) -> None:
    assert loaded(tmp_path, MINIMAL + text).secrets.identity == ()


@pytest.mark.parametrize("folder", ["/etc", "../x", "a/../../x", "~/x", "-x", '""'])
def test_secrets_are_laid_inside_the_repository_only(
    tmp_path: Path, folder: str
) -> None:
    said = problem(
        tmp_path, f"repository:\n  url: /r\n  secrets:\n    {folder}: /var/lib/x\n"
    )

    assert said.startswith("4: repository.secrets.")
    assert "no path inside the repository" in said


def test_secrets_are_for_all_hosts_or_those_that_are_named(tmp_path: Path) -> None:
    text = """\
        repository:
          url: /r
          secrets:
            all: /s/all
            db: {path: db, hosts: [db, "db-*"]}
            web: {path: /s/web, hosts: web}
        """

    repository = loaded(tmp_path, text).repository

    assert list(repository.folders_of_secrets.values()) == [
        Path("/s/all"),
        tmp_path / "db",
        Path("/s/web"),
    ]
    assert list(repository.withheld("db-1")) == ["web"]
    assert list(repository.withheld("web")) == ["db"]
    assert list(repository.withheld(None)) == ["db", "web"]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("x: {path: /x, hosts: []}", "names none, so that nobody would get it"),
        ("x: {path: /x, hosts: }", "names none"),
        ("x: {path: /x, hosts: ['@db']}", "tags are what a commit says itself"),
        ("x: {path: /x, hosts: ['a b']}", "nor a pattern of names"),
        ("x: {hosts: [db]}", "path"),
        ("{x: {path: /x, hosts: db}, y: /x/y}", "/x/y (y) lies in /x (x)"),
        ("{x: {path: /x, hosts: db}, y: {path: /x, hosts: web}}", "lies in /x"),
    ],
)
def test_secrets_of_hosts_that_cannot_be_so_are_told(
    tmp_path: Path, lines: str, said: str
) -> None:
    text = f"repository:\n  url: /r\n  secrets:\n    {lines}\n"

    assert said in problem(tmp_path, text)


def test_wrong_secrets_are_told_with_their_place(tmp_path: Path) -> None:
    said = problems(
        tmp_path,
        """\
        repository: {url: /r, secrets: [a]}
        secrets:
          identity: [3]
          comand_timeout: 5s
          command_timeout: 0
        """,
    )

    assert said == [
        "1: repository.secrets: should be keys with values, not a list",
        "3: secrets.identity[0]: should be a path, not 3",
        "4: secrets.comand_timeout: is no setting; did you mean command_timeout?",
        f"5: secrets.command_timeout: must be more than 0; write {DURATION_FORMS}",
    ]


@pytest.mark.parametrize(
    ("model", "prefix"),
    [
        (NotifyTarget, "notify.targets[]."),
        (StatusTarget, "statuses[]."),
        (TokenSettings, "api.tokens[]."),
    ],
)
def test_the_reference_names_what_lists_hold(
    model: type[BaseModel], prefix: str
) -> None:
    rows = re.findall(r"^\| `([^`]+)` \|", DOCS.read_text("utf-8"), re.MULTILINE)

    named = [row.removeprefix(prefix) for row in rows if row.startswith(prefix)]
    assert named == list(model.model_fields)


# --- webhooks --------------------------------------------------------------------


def test_a_webhook_takes_one_secret_or_several(tmp_path: Path) -> None:
    text = """\
        repository: {url: /srv/repo.git}
        webhooks:
          push: {provider: github, secret_file: hook}
          turning: {provider: gitlab, secret_file: [old, /etc/new]}
          srht: {provider: sourcehut}
        """
    hooks = loaded(tmp_path, text).webhooks

    assert hooks["push"].secret_file == (tmp_path / "hook",)
    assert hooks["turning"].secret_file == (tmp_path / "old", Path("/etc/new"))
    assert hooks["srht"].provider is Sender.SOURCEHUT


# --- secrets in the wrong place --------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "webhooks: {push: hunter2}",
        "webhooks: {push: {provider: github, secret_file: f, public_key: hunter2}}",
        "api: {tokens: hunter2}",
        "api: {tokens: [{name: ci, role: hunter2, file: f}]}",
        "notify: hunter2",
        "notify: {targets: [{name: me, url: hunter2}]}",
        "statuses: [{provider: github, repository: hunter2, token_file: f}]",
        "secrets: hunter2",
        "secrets: {command_timeout: hunter2}",
        "nix: {options: hunter2}",
        "hosts: {web: hunter2}",
        "policy: hunter2",
    ],
)
def test_what_stands_in_the_wrong_place_is_not_quoted(
    tmp_path: Path, text: str
) -> None:
    file = tmp_path / "reconciler.yaml"
    file.write_text(f"repository: {{url: /srv/repo.git}}\n{text}\n")

    with pytest.raises(SettingsError) as caught:
        load(file)

    assert "hunter2" not in str(caught.value)
    assert f"{file}:2:" in str(caught.value)


def test_a_login_in_a_url_is_refused_and_not_quoted(tmp_path: Path) -> None:
    file = tmp_path / "reconciler.yaml"
    file.write_text("repository: {url: 'https://me:hunter2@git.example.org/x.git'}\n")

    with pytest.raises(SettingsError) as caught:
        load(file)

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", ["access-tokens", "extra-access-tokens"])
def test_tokens_are_no_option_which_lists_of_processes_would_show(
    tmp_path: Path, name: str
) -> None:
    file = tmp_path / "reconciler.yaml"
    told = "github.com=hunter2"
    file.write_text(
        f"repository: {{url: /r.git}}\nnix: {{options: {{{name}: {told}}}}}\n"
    )

    with pytest.raises(SettingsError, match=r"nix\.conf") as caught:
        load(file)

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("tag: 'v*'", "has no `tag`: take that out"),
        ("fallbacks: [/b], verify: {openpgp: [k]}", "`fallbacks` and no `verify.open"),
    ],
)
def test_a_file_of_paths_behind_a_url(tmp_path: Path, more: str, expected: str) -> None:
    text = "repository: {url: 'https://ci.example.org/p.json?x', layout: %s}"
    assert not loaded(tmp_path, text % "auto").repository.is_file
    assert loaded(tmp_path, text % "paths").repository.is_file

    assert expected in problem(tmp_path, text % f"paths, {more}")
