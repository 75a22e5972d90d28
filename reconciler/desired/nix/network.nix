# Hosts given as modules, each evaluated by NixOS's eval-config: NixOps's way, and that
# of plain files.
{
  definitions,
  definitionOf ? name: definitions.${name},
  alone ? null, # the host that is asked for, which then need not look at all of them
  defaults,
  nixpkgs,
  evalConfig ? null, # null: that of nixpkgs
  resources,
  uuid,
  deploymentName,
  specialArgs ? { },
  arguments ? { },
  more ? [ ],
}:
let
  evaluate =
    if evalConfig != null then evalConfig else import (nixpkgs + "/nixos/lib/eval-config.nix");
  lib = import (nixpkgs + "/lib");

  one =
    name: modules:
    evaluate {
      inherit specialArgs;
      modules = modules ++ defaults ++ [ (injected name) ];
    };
  own = if alone == null then { } else { ${alone} = one alone (definitionOf alone); };
  evaluated = builtins.mapAttrs (
    name: modules: own.${name} or (one name modules)
  ) definitions;

  # After the host's own modules, as in NixOps, so that lists merge in the same order.
  injected = name: {
    _file = "${toString ./network.nix} (${name})";
    imports = [ ./deployment.nix ./nixops-networking.nix (hostName name) ] ++ more;
    config = {
      _module.args = moduleArguments name;
      deployment = {
        inherit uuid arguments;
        name = deploymentName;
        targetHost = lib.mkOverride 900 name;
      };
    };
  };

  # The name, or what comes before its first dot, if NixOS takes that (most want no
  # dots); else NixOS's own default stays.
  hostName =
    name:
    { options, ... }:
    let
      label = builtins.head (builtins.split "[.]" name);
      taken = builtins.filter options.networking.hostName.type.check [ name label ];
    in
    {
      _file = "${toString ./network.nix} (${name})";
      # Stronger than mkDefault, weaker than what anybody writes: NixOps's choice.
      networking = lib.optionalAttrs (taken != [ ]) {
        hostName = lib.mkOverride 900 (builtins.head taken);
      };
    };

  moduleArguments = name: {
    inherit name uuid deploymentName;
    nodes = evaluated;
    resources = evaluatedResources // {
      machines = builtins.mapAttrs (_: node: node.config) evaluated;
    };
  };

  # We create no resources, so any attribute of one is legal and means nothing to us.
  evaluatedResources = builtins.mapAttrs (
    _: builtins.mapAttrs evaluatedResource
  ) resources;

  evaluatedResource =
    name: modules:
    removeAttrs
      (lib.evalModules {
        modules = modules ++ [
          {
            _module.freeformType = lib.types.attrsOf (lib.types.anything or lib.types.unspecified);
            _module.args = moduleArguments name;
            _name = lib.mkDefault name;
          }
        ];
      }).config
      [ "_module" ];
in
{
  names = builtins.attrNames definitions;
  node = name: (own.${name} or evaluated.${name}) // { inherit lib; };
}
