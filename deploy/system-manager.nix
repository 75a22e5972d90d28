# The options `deployment.*` for a host that is not NixOS: a module for system-manager, which
# lets none in from outside. Who imports it may declare keys, health checks and the like.
{ lib, ... }:
{
  imports = [ ../reconciler/desired/nix/deployment.nix ];

  config.deployment = {
    # Nobody says where it is: its name need not be one that resolves.
    targetHost = lib.mkOverride 1400 null;
    name = lib.mkDefault "";
    uuid = lib.mkDefault "";
  };
}
