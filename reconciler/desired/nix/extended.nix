# A configuration that somebody else's tool evaluated, with our options in it. Where it
# declares options `deployment.*` itself, as every node of Colmena's does, ours stay away.
{ node, name, uuid, deploymentName }:
let
  lib = node.lib or node.pkgs.lib;
  ours = {
    _file = "${toString ./extended.nix} (${name})";
    imports = [ ./deployment.nix ];
    config.deployment = {
      inherit uuid;
      name = deploymentName;
      arguments = { };
      # Nobody says where it is: its name need not be one that resolves.
      targetHost = lib.mkOverride 1400 null;
    };
  };
  extended = node.extendModules { modules = [ ours ]; };

  # That one of them is declared twice is thrown when it is looked at. What else is wrong
  # is so without ours, too, and told then.
  all = extended.options.deployment;
  fits = builtins.all (name: builtins.seq all.${name} true) (builtins.attrNames all);
  canHave = node ? extendModules && (builtins.tryEval fits).success;
in
if !(builtins.isAttrs node && node ? config && node ? options) then
  throw "${name} is a ${builtins.typeOf node} and no evaluated NixOS, as nixpkgs.lib.nixosSystem makes it"
else
  (if canHave then extended else node) // { inherit lib; }
