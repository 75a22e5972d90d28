"""Whole systems: what a toplevel holds, packages, and what a wrong system says."""

from pathlib import Path

import pytest

from tests.nixpkgs.conftest import Nix

pytestmark = pytest.mark.nix


def test_a_toplevel_has_what_a_real_one_has(nix: Nix) -> None:
    top = nix.build(
        f"""{
            nix.config('''{ pkgs, ... }: {
      networking.hostName = "whole";
      environment.systemPackages = [ pkgs.hello ];
      environment.etc."a/b".text = "c";
      environment.etc."secretive" = { text = "x"; mode = "0400"; user = "nobody"; };
      specialisation.quiet.configuration.environment.etc.quiet.text = "yes";
    }''')
        }.system.build.toplevel"""
    )

    assert top.name.endswith("-nixos-system-whole-24.11")
    for executable in (
        "activate",
        "dry-activate",
        "init",
        "bin/switch-to-configuration",
    ):
        assert (top / executable).stat().st_mode & 0o111
    for file in ("kernel", "initrd", "systemd/lib/systemd/systemd"):
        assert (top / file).exists()
    assert (top / "init-interface-version").read_text() == "systemd 2"
    assert (top / "nixos-version").read_text() == "24.11"
    assert (top / "system").read_text() == "x86_64-linux"
    assert (top / "etc/systemd/system").is_symlink()
    assert (top / "etc/a/b").read_text() == "c"
    assert (top / "etc/secretive.mode").read_text() == "0400\nnobody\n+0\n"
    assert (top / "specialisation/quiet/etc/quiet").read_text() == "yes"
    assert not (top / "specialisation/quiet/specialisation/quiet").exists()
    said = nix.run(str(top / "sw/bin/hello"), "you")
    assert said.stdout == "Hello, you!\n"


def test_a_kernel_is_another_kernel_by_its_link(nix: Nix) -> None:
    def kernel(module: str) -> Path:
        return nix.build(f"{nix.config(module)}.system.build.toplevel") / "kernel"

    first = kernel("{ }")
    second = kernel(
        "{ pkgs, ... }: { boot.kernelPackages = pkgs.linuxPackages_latest; }"
    )

    assert first.resolve() != second.resolve()


def test_overlays_and_overrides_reach_the_modules(nix: Nix) -> None:
    module = """{ pkgs, ... }: {
      nixpkgs.overlays = [ (final: prev: { both = prev.base + "-overlaid"; }) ];
      nixpkgs.config.packageOverrides = pkgs: { base = "overridden"; };
      environment.etc.result.text = pkgs.both;
    }"""

    text = nix.value(f"{nix.config(module)}.environment.etc.result.text")

    assert text == "overridden-overlaid"


def test_what_nixops_passes_is_taken(nix: Nix) -> None:
    names = nix.value("""
        let
          eval = import <nixpkgs/nixos/lib/eval-config.nix> {
            modules = [
              ({ nodes, name, ... }: { networking.hostName = nodes.${name}; })
            ];
            extraArgs = { nodes.a = "from-extra"; name = "a"; };
            check = true;
            prefix = [ "nodes" "a" ];
          };
          inherit (eval) config options;
        in [ config.networking.hostName config.system.name "${options.system.name}" ]
    """)

    assert names == ["from-extra", "from-extra", "nodes.a.system.name"]


def test_a_misspelt_option_is_told_with_its_file(nix: Nix, tmp_path: Path) -> None:
    file = tmp_path / "host.nix"
    file.write_text("{ services.openssh.enabel = true; }")

    message = nix.error(f"{nix.config(str(file))}.networking.hostName")

    assert message.startswith(
        "The option `services.openssh.enabel' does not exist. Definition values:\n"
        f"- In `{file}': true"
    )


def test_two_hosts_files_that_disagree_are_both_named(nix: Nix, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.nix").write_text(f'{{ networking.hostName = "{name}"; }}')
    module = f"{{ imports = [ {tmp_path}/one.nix {tmp_path}/two.nix ]; }}"

    message = nix.error(f"{nix.config(module)}.networking.hostName")

    assert (
        "The option `networking.hostName' has conflicting definition values:" in message
    )
    assert f'- In `{tmp_path}/one.nix\': "one"' in message
    assert f'- In `{tmp_path}/two.nix\': "two"' in message


def test_failed_assertions_are_told_all_at_once(nix: Nix) -> None:
    module = """{
      assertions = [
        { assertion = false; message = "first reason"; }
        { assertion = true; message = "no reason"; }
        { assertion = false; message = "second reason"; }
      ];
    }"""

    message = nix.error(f"{nix.config(module)}.system.build.toplevel.drvPath")

    assert message == "Failed assertions:\n- first reason\n- second reason"


def test_warnings_are_shown_and_stop_nothing(nix: Nix) -> None:
    module = '{ services.openssh = { enable = true; permitRootLogin = "no"; }; }'
    expression = f"{nix.config(module)}.system.build.toplevel.drvPath"

    done = nix.run("nix-instantiate", "--eval", "-E", expression)

    assert done.returncode == 0
    assert "The option `services.openssh.permitRootLogin' defined in" in done.stderr


def test_a_package_of_ones_own(nix: Nix, tmp_path: Path) -> None:
    (tmp_path / "program.sh").write_text("#!/bin/sh\necho @word@\n")
    (tmp_path / "package.nix").write_text("""
        { stdenv, lib, hello }:
        stdenv.mkDerivation rec {
          pname = "own";
          version = "1.0";
          src = ./.;
          buildInputs = [ hello ];
          buildPhase = "hello from the build >greeting";
          installPhase = ''
            runHook preInstall
            install -Dm755 program.sh $out/bin/own
            substituteInPlace $out/bin/own \\
              --replace-fail @word@ "$(cat greeting), ${version}"
            runHook postInstall
          '';
          postInstall = "touch $out/hooked";
          passthru.extra = "kept";
          meta.mainProgram = "own";
        }
    """)
    package = f"((import <nixpkgs> {{ }}).callPackage {tmp_path}/package.nix {{ }})"

    out = nix.build(package)

    assert out.name.endswith("-own-1.0")
    assert nix.run(str(out / "bin/own")).stdout == "Hello, from the build!, 1.0\n"
    assert (out / "hooked").exists()
    assert nix.value(
        f"with (import <nixpkgs> {{ }}); [ {package}.extra (lib.getExe {package}) ]"
    ) == [
        "kept",
        f"{out}/bin/own",
    ]


def test_files_scripts_and_trees(nix: Nix) -> None:
    out = nix.build("""
        with import <nixpkgs> { };
        symlinkJoin {
          name = "joined";
          paths = [
            (writeShellScriptBin "shout" "echo \\"$1\\"!")
            (writeShellApplication {
              name = "app"; runtimeInputs = [ hello ]; text = "hello app";
            })
            (writers.writePython3Bin "py" { } "print(6 * 7)\\n")
            (writeTextDir "share/long.txt" (lib.strings.replicate 200000 "x"))
            (linkFarm "farm" { "share/a/b" = hello; })
          ];
        }
    """)

    assert nix.run(str(out / "bin/shout"), "hey").stdout == "hey!\n"
    assert nix.run(str(out / "bin/app")).stdout == "Hello, app!\n"
    assert nix.run(str(out / "bin/py")).stdout == "42\n"
    assert (out / "share/long.txt").stat().st_size == 200000
    assert (out / "share/a/b/bin/hello").exists()


def test_settings_as_files(nix: Nix) -> None:
    out = nix.build("""
        with import <nixpkgs> { };
        linkFarm "settings" {
          json = (formats.json { }).generate "a.json" { b = [ 1 true null ]; };
          toml = (formats.toml { }).generate "a.toml" {
            title = "x"; server.port = 80;
          };
          ini = (formats.ini { }).generate "a.ini" { section.key = "value"; };
          keys = (formats.keyValue { }).generate "a" { key = 1; };
        }
    """)

    assert (out / "json").read_text() == (
        '{\n  "b": [\n    1,\n    true,\n    null\n  ]\n}\n'
    )
    assert (out / "toml").read_text() == 'title = "x"\n[server]\nport = 80\n'
    assert (out / "ini").read_text() == "[section]\nkey=value\n"
    assert (out / "keys").read_text() == "key=1\n"


def test_an_unfree_package_is_refused_until_it_is_allowed(nix: Nix) -> None:
    package = """(pkgs: pkgs.stdenv.mkDerivation {
      name = "secret"; dontUnpack = true; installPhase = "touch $out";
      meta.license = pkgs.lib.licenses.unfree;
    })"""

    message = nix.error(f"({package} (import <nixpkgs> {{ }})).drvPath")

    assert "unfree" in message
    allowed = f"({package} (import <nixpkgs> {{ config.allowUnfree = true; }})).name"
    assert nix.value(allowed) == "secret"
