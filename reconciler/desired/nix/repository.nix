# A checkout in the one form that nodes.nix takes, whatever its layout:
#   definitions  host name -> its modules
#   defaults     modules of every host, after its own
#   nixpkgs      the nixpkgs to evaluate with
#   resources    NixOps resources: type -> name -> definitions
# All arguments are strings; `sources` is JSON, since names may hold any character.
{ checkout, layout, sources, uuid, deploymentName }:
let
  layouts = {
    nixops = import ./nixops.nix;
    hosts = import ./folders.nix;
  };
in
layouts.${layout} {
  root = /. + checkout;
  sources = builtins.fromJSON sources;
}
// {
  inherit uuid deploymentName;
}
