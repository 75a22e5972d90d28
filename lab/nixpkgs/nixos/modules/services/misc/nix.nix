# Nix on the hosts. /etc/nix/nix.conf belongs to the machine: the fleet tool writes it. All of
# this is accepted and inert.
{ lib, pkgs, ... }:
let
  inherit (lib) mkOption types;
  inert =
    type: default:
    mkOption {
      inherit type default;
      description = "Inert: the fleet tool writes nix.conf.";
    };
in
{
  options.nix = {
    enable = inert types.bool true;
    package = inert types.package pkgs.nix;
    settings = inert (types.attrsOf types.anything) { };
    extraOptions = inert types.lines "";
    gc = inert (types.attrsOf types.anything) { };
    optimise = inert (types.attrsOf types.anything) { };
    nixPath = inert (types.listOf types.str) [ ];
    registry = inert (types.attrsOf types.anything) { };
    channel.enable = inert types.bool true;
    buildMachines = inert (types.listOf types.attrs) [ ];
    distributedBuilds = inert types.bool false;
    daemonCPUSchedPolicy = inert types.str "other";
    sshServe = inert (types.attrsOf types.anything) { };
    # Names of before `nix.settings`.
    autoOptimiseStore = inert types.bool false;
    binaryCaches = inert (types.listOf types.str) [ ];
    binaryCachePublicKeys = inert (types.listOf types.str) [ ];
    trustedUsers = inert (types.listOf types.str) [ ];
    useSandbox = inert types.bool false;
    maxJobs = inert (types.either types.int types.str) "auto";
  };
}
