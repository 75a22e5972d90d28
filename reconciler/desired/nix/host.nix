# What one host should be, or who is known if there is no such host.
{ checkout, layout, sources, host, uuid, deploymentName }:
let
  repository = import ./repository.nix {
    inherit checkout layout sources uuid deploymentName;
  };
  nodes = import ./nodes.nix repository;
  lib = import (repository.nixpkgs + "/lib");
in
if repository.definitions ? ${host} then
  import ./facts.nix {
    inherit (nodes.${host}) config;
    inherit lib;
  }
else
  { known = builtins.attrNames repository.definitions; }
