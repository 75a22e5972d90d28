# The options `deployment.*`: the union of those of NixOps 1.7 and 2 and of Colmena, so
# that a repository written for any of them evaluates. Those that we do not act on are
# legal and ignored; docs/layouts.md lists them.
{ config, lib, options, pkgs, ... }:
let
  inherit (lib) mkDefault mkOption types;

  option =
    type: default: description:
    mkOption { inherit type default description; };
  required = type: description: mkOption { inherit type description; };
  ignored = type: default: option type default "Legal, and ignored here.";

  keys = import ./keys.nix { inherit lib; };
  checks = import ./checks.nix { inherit lib; };

  programs = checks.programsOf pkgs config.deployment.healthChecks;

  unit.options = {
    heal = option (types.either types.bool (types.enum [ "restart-only" ])) true ''
      Whether it is started if it was stopped, and restarted if it failed; with
      "restart-only" only the latter.
    '';
    mayFail = option types.bool false ''
      Whether it may be down, or fail, without condemning a new system.
    '';
  };

  anything = types.anything or types.unspecified; # a nixpkgs before 20.09 lacks it

  # Options of NixOps's backends: `deployment.ec2.region` and their like.
  backends = lib.genAttrs [
    "adhoc"
    "autoLuks"
    "autoRaid0"
    "azure"
    "container"
    "datadog"
    "digitalOcean"
    "ec2"
    "gce"
    "hcloud"
    "hetzner"
    "libvirtd"
    "none"
    "packet"
    "route53"
    "vagrant"
    "virtualbox"
    "vultr"
  ] (_: ignored (types.attrsOf anything) { });
in
{
  imports = [ ./key-units.nix ];

  options.deployment = backends // {
    targetHost = required (types.nullOr types.str) ''
      Name or address that the host is reached at. Default: its name in the repository.
    '';
    targetPort = option (types.nullOr types.int) null ''
      Port of its SSH server. Default: the first of services.openssh.ports.
    '';
    targetUser = option (types.nullOr types.str) "root" "User to log in as.";
    privilegeEscalationCommand = option (types.listOf types.str) [ "sudo" "-H" "--" ] ''
      What makes a user other than root into root.
    '';
    tags = option (types.listOf types.str) [ ] "Names of groups that the host is in.";
    hasFastConnection = option types.bool false ''
      Whether to copy whole closures instead of letting the host substitute them.
    '';
    buildOnTarget = option types.bool false ''
      Whether the host builds its system itself; else it is built where the reconciler is.
    '';
    keys = option keys.keysType { } "Secret files on the host.";
    specialisation = option (types.nullOr types.str) null ''
      The specialisation that the host is to run. It boots the system itself by default,
      and is switched to this one then.
    '';
    healthChecks = checks.options;
    units = option (types.attrsOf (types.submodule unit)) { } ''
      How single units are treated, by name; a name without a suffix is a service's.
    '';

    name = required types.str "Name of the deployment; set by the reconciler.";
    uuid = required types.str "Name of the deployment; set by the reconciler.";
    arguments = option types.unspecified { } "Arguments of the network; set by the reconciler.";

    targetEnv = ignored types.str "none";
    allowLocalDeployment = ignored types.bool false;
    alwaysActivate = ignored types.bool true;
    encryptedLinksTo = ignored (types.listOf types.str) [ ];
    owners = ignored (types.listOf types.str) [ ];
    provisionSSHKey = ignored types.bool true;
    replaceUnknownProfiles = ignored types.bool true;
    sshOptions = ignored (types.listOf types.str) [ ];
    storeKeysOnMachine = ignored types.bool false;
    substituteOnDestination = ignored types.bool false;
  };

  config = {
    deployment.targetPort = mkDefault (
      builtins.head ((config.services.openssh.ports or [ ]) ++ [ 22 ])
    );
    assertions =
      keys.assertionsFor config.deployment.keys
      ++ checks.assertionsFor config.deployment.healthChecks;
    # system-manager has no such option, and one for what it builds along with a system.
    system =
      if options ? system.extraDependencies then
        { extraDependencies = programs; }
      else
        lib.optionalAttrs (options ? system.checks) { checks = programs; };
  };
}
