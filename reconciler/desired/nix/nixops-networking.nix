# Options of NixOps that modules of its repositories refer to; NixOps fills them at deploy
# time. Not for others: a repository may declare options of these names itself.
{ lib, ... }:
let
  inherit (lib) mkOption types;
in
{
  options.networking = {
    privateIPv4 = mkOption {
      type = types.str;
      description = "Address among the hosts of the network.";
    };
    publicIPv4 = mkOption {
      type = types.nullOr types.str;
      default = null;
      description = "Address on the internet.";
    };
    vpnPublicKey = mkOption {
      type = types.nullOr types.str;
      default = null;
      description = "Key of a tunnel.";
    };
  };
}
