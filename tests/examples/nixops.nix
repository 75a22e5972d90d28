# The machines of a NixOps network, evaluated in the way of NixOps 1.7: files are
# values or functions, `require` adds files, all definitions of a machine and all
# `defaults` become its modules, and `name`, `nodes`, `resources`, `uuid` and
# `deploymentName` are passed to them.
{ network, args ? { } }:

let
  call = value: if builtins.isFunction value then value args else value;
  load = file: call (import file);

  files = map (item: item.key) (builtins.genericClosure {
    startSet = [ { key = toString network; } ];
    operator = item:
      map (file: { key = toString file; }) ((load item.key).require or [ ]);
  });
  definitions = builtins.zipAttrsWith (_: values: values) (map load files);
  names = builtins.attrNames
    (removeAttrs definitions [ "network" "defaults" "resources" "require" ]);

  deployment = name: { lib, ... }: {
    options.deployment = {
      targetHost = lib.mkOption { type = lib.types.str; };
      targetEnv = lib.mkOption { type = lib.types.str; default = "none"; };
      tags = lib.mkOption { type = lib.types.listOf lib.types.str; default = [ ]; };
      keys = lib.mkOption { type = lib.types.attrsOf lib.types.raw; default = { }; };
      hasFastConnection = lib.mkOption { type = lib.types.bool; default = false; };
    };
    config = {
      deployment.targetHost = lib.mkOverride 900 name;
      networking.hostName = lib.mkOverride 900 name;
      _module.args = {
        inherit name nodes;
        resources = { };
        uuid = "e6c3b2f4-0000-4000-8000-000000000000";
        deploymentName = "test";
      };
    };
  };

  machine = name: import <nixpkgs/nixos/lib/eval-config.nix> {
    modules =
      definitions.${name} ++ definitions.defaults or [ ] ++ [ (deployment name) ];
  };
  nodes = builtins.listToAttrs
    (map (name: { inherit name; value = machine name; }) names);
in
nodes
