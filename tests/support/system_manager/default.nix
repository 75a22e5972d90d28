# A stand-in for system-manager: `makeSystemConfig` with options of the same names, and a
# toplevel of the same parts, as of its release 1.1. What activates it is engine.py.
{ nixpkgs }:
let
  inherit (nixpkgs) lib;

  makeSystemConfig =
    {
      modules,
      specialArgs ? { },
    }:
    let
      eval = lib.evalModules {
        inherit specialArgs;
        modules = [ ./modules.nix ] ++ modules;
        args = { inherit nixpkgs; };
      };
      inherit (eval) config;
      inherit (config.nixpkgs) pkgs;

      engine = pkgs.writeScript "system-manager-engine" (builtins.readFile ./engine.py);
      script = name: text: {
        name = "bin/${name}";
        path = pkgs.writeShellScript name text;
      };
      withStore = command: ''
        ${engine} ${command} \
          --store-path "$(dirname $(realpath $(dirname ''${0})))" \
          "$@"
      '';
      assertions = lib.attrValues config.system-manager.preActivationAssertions;
      json = name: value: {
        inherit name;
        path = pkgs.writeTextFile {
          inherit name;
          destination = "/${name}.json";
          text = builtins.toJSON value;
        };
      };

      toplevel = pkgs.linkFarm "system-manager" [
        (json "services" config.build.services)
        (json "etcFiles" { inherit (config.build.etc) entries staticEnv; })
        {
          name = "bin/system-manager-engine";
          path = engine;
        }
        (script "register-profile" (withStore "register"))
        (script "activate" (withStore "activate"))
        (script "prepopulate" (withStore "prepopulate"))
        (script "deactivate" ''${engine} deactivate "$@"'')
        (script "preActivationAssertions" (
          lib.concatMapStrings (one: "( ${one.script} ) || exit 1\n") (
            builtins.filter (one: one.enable) assertions
          )
        ))
      ];
      failed = map (one: one.message) (builtins.filter (one: !one.assertion) config.assertions);
    in
    if failed != [ ] then
      throw "\nFailed assertions:\n${lib.concatMapStringsSep "\n" (one: "- ${one}") failed}"
    else
      toplevel // { inherit config; };
in
{
  lib = { inherit makeSystemConfig; };
}
