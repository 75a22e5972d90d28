# A checkout in the one form that everything above takes, whatever its layout:
#   names    the hosts, none of them evaluated
#   has      whether there is a host of a name
#   node     host name -> its evaluated configuration, with our options where they fit in:
#            { config, options, lib, … } as NixOS's eval-config returns it
#   others   outputs of a flake that are no NixOS
#   unpaired names of deploy-rs's nodes and of configurations that the other does not have
#   madeOf   name of such a node -> the configuration that it deploys, or null
#   outside  host name -> what the repository says of it outside of its configuration
# All arguments are strings; `sources` is JSON, since names may hold any character. `alone`
# is the host that it is about, if it is about one.
{ checkout, layout, sources, uuid, deploymentName, alone ? null }:
let
  layouts = {
    attribute = import ./layout-attribute.nix;
    colmena = import ./layout-colmena.nix;
    flake = import ./layout-flake.nix;
    hosts = arguments: import ./layout-hosts.nix (arguments // { inherit alone; });
    nixops = import ./layout-nixops.nix;
  };
  found = layouts.${layout} {
    inherit uuid deploymentName checkout;
    sources = builtins.fromJSON sources;
  };
in
{
  outside = _: { };
  others = [ ];
  unpaired = {
    nodes = [ ];
    systems = [ ];
  };
  madeOf = _: null;
  has = name: builtins.elem name found.names;
}
// found
