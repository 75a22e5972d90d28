"""What wrong repositories get: the error of Nix, with host, file and line."""

from pathlib import Path

import pytest

from reconciler.desired import Evaluator
from reconciler.errors import (
    CommandMissingError,
    EvaluationError,
    LayoutError,
    PermanentError,
)
from reconciler.model import HostName
from tests.adapters.desired_nix import PLAIN, host, settings, write

pytestmark = pytest.mark.nix

FILE = "hosts/keanu/configuration.nix"


def failure(checkout: Path, module: str, **nix: object) -> EvaluationError:
    host(checkout, "keanu", module)
    with pytest.raises(EvaluationError) as caught:
        Evaluator(settings(**nix)).evaluate(checkout, HostName("keanu"))
    assert caught.value.host == "keanu"
    assert str(checkout) not in str(caught.value)
    return caught.value


def module(line: str) -> str:
    """Return a module with *line* as its third line."""
    return f"{{ config, lib, pkgs, ... }}: {{\n{PLAIN}\n{line}\n}}\n"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("networking.hostName = ;", "syntax error, unexpected ';'"),
        ("networking.hostName = foo;", "undefined variable 'foo'"),
        ("environment.etc.a.text = lib.nosuch 1;", "attribute 'nosuch' missing"),
        ('environment.etc.a.text = "a" + 1;', "integer to a string"),
        ("imports = [ <nowhere/x.nix> ];", "add it to nix.path in the settings"),
    ],
)
def test_file_and_line_are_named(tmp_path: Path, line: str, said: str) -> None:
    error = failure(tmp_path, module(line))

    assert said in str(error)
    assert f"at {FILE}:3" in str(error)
    assert (error.file, error.line) == (FILE, 3)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("networking.hostName = 5;", "networking.hostName"),
        ("services.withinbt.enable = true;", "services.withinbt"),
        ("deployment.targtHost = true;", "deployment.targtHost"),
        ('environment.etc.a.text = throw "this host is retired";', "retired"),
        ('environment.etc.a.text = abort "this host is retired";', "retired"),
        (
            "environment.etc.a.text = config.environment.etc.a.text;",
            "infinite recursion encountered",
        ),
    ],
)
def test_the_file_is_named(tmp_path: Path, line: str, said: str) -> None:
    error = failure(tmp_path, module(line))

    assert said in str(error)
    assert f"at {FILE}" in str(error)
    assert error.file == FILE


@pytest.mark.parametrize(
    ("checks", "said"),
    [
        ("http = [ { } ];", "port"),
        ('http = [ { port = "80"; } ];', "port"),
        ("tcp = [ { port = 1; path = 2; } ];", "path"),
        ('tcp = [ { port = 1; from = "moon"; } ];', "from"),
        ("command = [ { cmd = [ 5 ]; } ];", "cmd"),
        ("ping = [ ];", "ping"),
        ("http = [ { port = 80; path = ./x; } ];", "path"),
    ],
)
def test_health_checks_have_types(tmp_path: Path, checks: str, said: str) -> None:
    error = failure(tmp_path, module(f"deployment.healthChecks = {{ {checks} }};"))

    assert "deployment.healthChecks." in str(error)
    assert said in str(error)


@pytest.mark.parametrize(
    ("checks", "said"),
    [
        ("tcp = [ { port = 0; } ];", "deployment.healthChecks.tcp (number 1): port 0"),
        ('cmd = [ { description = "it"; } ];', 'the description is "it"'),
        ('cmd = [ { cmd = [ "a" ]; command = [ "b" ]; } ];', "exactly one of command"),
    ],
)
def test_health_checks_make_sense(tmp_path: Path, checks: str, said: str) -> None:
    error = failure(tmp_path, module(f"deployment.healthChecks = {{ {checks} }};"))

    assert said in str(error)


def test_the_message_of_an_assertion_is_shown(tmp_path: Path) -> None:
    line = 'assertions = [ { assertion = false; message = "no domain set"; } ];'

    assert "no domain set" in str(failure(tmp_path, module(line)))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    error = failure(tmp_path, module("imports = [ ../../common/gone.nix ];"))

    assert "common/gone.nix" in str(error)


def test_a_stack_overflow_is_survived(tmp_path: Path) -> None:
    line = "environment.etc.a.text = let f = n: 1 + f (n + 1); in f 0;"

    assert "stack overflow" in str(failure(tmp_path, module(line)))


def test_an_evaluation_without_end_is_stopped(tmp_path: Path) -> None:
    line = (
        "environment.etc.a.text = let f = n: if n < 2 then n else "
        "f (n - 1) + f (n - 2); in toString (f 90);"
    )

    error = failure(tmp_path, module(line), evaluate_timeout=1)

    assert "1 s" in str(error)
    assert "nix.evaluate_timeout" in str(error)
    assert _processes_naming(tmp_path) == []


def _processes_naming(path: Path) -> list[str]:
    found = []
    for arguments in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = arguments.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(path) in text:
            found.append(text)
    return found


def test_the_error_is_found_behind_ten_megabytes_of_trace(tmp_path: Path) -> None:
    line = (
        'environment.etc.a.text = let long = lib.concatStrings (lib.genList (_: "x") '
        "1000); in lib.foldl' (a: b: builtins.trace long b) 0 (lib.range 1 10000) "
        '+ throw "after the flood";'
    )

    error = failure(tmp_path, module(line))

    assert str(error).startswith("after the flood")
    assert error.file == FILE


def test_text_that_is_no_unicode_is_survived(tmp_path: Path) -> None:
    host(tmp_path, "keanu", "")
    text = module('environment.etc.a.text = throw "caf~ ~";').encode()
    (tmp_path / FILE).write_bytes(text.replace(b"~", b"\xe9"))

    with pytest.raises(EvaluationError, match="caf\N{REPLACEMENT CHARACTER}"):
        Evaluator(settings()).evaluate(tmp_path, HostName("keanu"))


def test_one_wrong_host_leaves_the_others_alone(tmp_path: Path) -> None:
    failure(tmp_path, module("oh no"))
    host(tmp_path, "lufta", f"{{ {PLAIN} }}")
    evaluator = Evaluator(settings())

    assert evaluator.hosts(tmp_path) == ("keanu", "lufta")
    assert evaluator.evaluate(tmp_path, HostName("lufta")).units


def test_without_nixpkgs_the_setting_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIX_PATH", "")

    error = failure(tmp_path, module(""), path=())

    assert "set nix.path in the settings" in str(error)


def test_nix_path_serves_where_the_settings_name_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (entry,) = settings().nix.path
    monkeypatch.setenv("NIX_PATH", entry)
    host(tmp_path, "keanu", module(""))

    assert Evaluator(settings(path=())).evaluate(tmp_path, HostName("keanu")).units


def test_a_missing_nix_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    host(tmp_path, "keanu", module(""))

    with pytest.raises(CommandMissingError, match="nix-instantiate"):
        Evaluator(settings()).evaluate(tmp_path, HostName("keanu"))


# --- keys ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ('{ text = "hunter2"; keyFile = "/x"; }', "exactly one of"),
        ("{ }", "exactly one of"),
        ('{ txt = "hunter2"; }', "deployment.keys.a.txt' does not exist"),
        ('{ keyFile = "hunter2"; }', "is not an absolute path"),
        ('{ keyCommand = "hunter2"; }', "is not a non-empty list of strings"),
        ('[ "hunter2" ]', "is neither a string nor an attribute set"),
        ('{ permissions = "u=hunter2"; text = "x"; }', "permissions 'u="),
        ('{ keyFile = "/hunter2"; keyCommand = [ "hunter2" ]; }', "exactly one of"),
    ],
)
def test_a_wrong_key_is_named_and_its_content_is_not(
    tmp_path: Path, key: str, said: str
) -> None:
    error = failure(tmp_path, module(f"deployment.keys.a = {key};"))

    assert said in str(error)
    assert "deployment.keys.a" in str(error)
    assert "hunter" not in str(error).replace("u=hunter2", "")


def test_keys_that_are_no_set_are_not_quoted(tmp_path: Path) -> None:
    error = failure(tmp_path, module('deployment.keys = "hunter2";'))

    assert "is not an attribute set of keys" in str(error)
    assert f"at {FILE}" in str(error)
    assert "hunter" not in str(error)


@pytest.mark.parametrize(
    "name", ["a/b", "a\\nb", "..", "", "a b", "schlüssel", "x" * 151]
)
def test_a_name_that_no_unit_can_have_is_refused(tmp_path: Path, name: str) -> None:
    error = failure(tmp_path, module(f'deployment.keys."{name}".text = "hunter2";'))

    if name == "..":  # a unit may be called ..-key.service, but no file `..'
        assert "goes through `..'" in str(error)
    else:
        assert f'deployment.keys."{name}": the name of a key is' in str(error)
    assert "hunter" not in str(error)


@pytest.mark.parametrize("name", ["a/../b", "..", "", "a\\nb", "."])
def test_a_file_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    key = f'{{ text = "hunter2"; name = "{name}"; }}'
    error = failure(tmp_path, module(f"deployment.keys.bot = {key};"))

    assert str(error).startswith("deployment.keys.bot: the path '/run/keys/")
    assert "hunter" not in str(error)


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ('name = "a";', "deployment.keys.b: /run/keys/a is also the path of a"),
        ('name = "a"; destDir = "/run//keys/./";', "is also the path of a"),
        (
            'destDir = "/run/keys/a";',
            "/run/keys/a/b is inside /run/keys/a, the path of",
        ),
    ],
)
def test_two_keys_of_one_path_are_refused(
    tmp_path: Path, second: str, said: str
) -> None:
    keys = f'deployment.keys = {{ a.text = "1"; b = {{ text = "2"; {second} }}; }};'

    assert said in str(failure(tmp_path, module(keys)))


# --- layouts ---------------------------------------------------------------------


def test_a_second_declaration_of_our_options_is_explained(tmp_path: Path) -> None:
    text = """
    { lib, ... }: {
      options.deployment.tags = lib.mkOption { type = lib.types.raw; };
    }
    """
    error = failure(tmp_path, text)

    assert "already declared" in str(error)
    assert "import no other tool's" in str(error)


def listing(checkout: Path, **files: str) -> PermanentError:
    write(checkout, **files)
    with pytest.raises(PermanentError) as caught:
        Evaluator(settings()).hosts(checkout)
    return caught.value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{ keanu = ; }", "syntax error"),
        ("{ domain }: { }", "asks for the argument domain"),
        ("{ require = [ ./gone.nix ]; }", "gone.nix"),
    ],
)
def test_a_wrong_network_is_explained(tmp_path: Path, text: str, said: str) -> None:
    error = listing(tmp_path, network=text)

    assert isinstance(error, EvaluationError)
    assert error.host is None
    assert said in str(error)


@pytest.mark.parametrize(
    "text",
    [
        "{ config, pkgs, ... }: { networking = { }; }",
        "{ networking = { }; services = { }; }",
        '{ pkgs ? import <nixpkgs> { }, ... }: pkgs.writeText "x" ""',
        "{ self, inputs, ... }: { nodes.web = { }; }",
        '{ nodes.web = { host = "root@web"; configuration = { }; }; }',
        "args: { web = { }; }",
        "{ meta.nixpkgs = <nixpkgs>; web = { }; }",
        "[ ]",
    ],
)
def test_a_file_is_a_network_by_its_value_and_not_its_name(
    tmp_path: Path, text: str
) -> None:
    alone = listing(tmp_path, network=text)
    host(tmp_path, "keanu", f"{{ {PLAIN} }}")

    assert "network.nix is not a NixOps network" in str(alone)
    assert Evaluator(settings()).hosts(tmp_path) == ("keanu",)


def test_a_list_that_is_named_as_a_network_is_explained(tmp_path: Path) -> None:
    write(tmp_path, network="[ ]")
    with pytest.raises(EvaluationError, match="its value is a list"):
        Evaluator(settings("network.nix")).hosts(tmp_path)


def test_a_machine_with_a_name_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    error = listing(tmp_path, network='{ "../../etc" = { }; }')

    assert isinstance(error, LayoutError)
    assert "../../etc" in str(error)


def test_an_empty_repository_is_explained(tmp_path: Path) -> None:
    assert "repository.entry" in str(listing(tmp_path))
