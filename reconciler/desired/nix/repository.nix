# A checkout in the one form that everything above takes, whatever its layout:
#   names    the hosts, none of them evaluated
#   node     host name -> its evaluated configuration, with our options where they fit in:
#            { config, options, lib, … } as NixOS's eval-config returns it
#   others   outputs of a flake that are no NixOS
#   outside  host name -> what the repository says of it outside of its configuration
# All arguments are strings; `sources` is JSON, since names may hold any character.
{ checkout, layout, sources, uuid, deploymentName }:
let
  layouts = {
    attribute = import ./layout-attribute.nix;
    colmena = import ./layout-colmena.nix;
    flake = import ./layout-flake.nix;
    hosts = import ./layout-hosts.nix;
    nixops = import ./layout-nixops.nix;
  };
in
{
  outside = _: { };
  others = [ ];
}
// layouts.${layout} {
  inherit uuid deploymentName checkout;
  sources = builtins.fromJSON sources;
}
