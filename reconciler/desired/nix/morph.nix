# Options of morph's (data/options.nix there) that have a meaning here, or a note that they
# have none. `folder` is that of the network file: paths of secrets are relative to it.
{ folder }:
{ config, lib, ... }:
let
  inherit (lib) mkOption types;

  checks = import ./checks.nix { inherit lib; };
  inherit (config.deployment) preDeployChecks secrets;

  option =
    type: default: description:
    mkOption { inherit type default description; };
  required = type: description: mkOption { inherit type description; };

  secret.options = {
    source = required types.str "The file on the reconciler's machine.";
    destination = required types.str "The file on the host.";
    owner.user = option types.str "root" "Owner of the file.";
    owner.group = option types.str "root" "Group of the file.";
    permissions = option types.str "0400" "Mode of the file.";
    action = option (types.listOf types.str) [ ] "What is run on the host then.";
    mkDirs = option types.bool true "Legal, and ignored here: folders are made.";
    uploadAt =
      option (types.enum [ "pre-activation" "post-activation" ]) "pre-activation"
        "When the file is written.";
  };

  # The units that an action restarts, which is what keys can do; null for all others.
  restarted =
    action:
    let
      words = if action != [ ] && builtins.head action == "sudo" then builtins.tail action else action;
      restarts = lib.take 2 words == [ "systemctl" "restart" ];
    in
    if words == [ ] then
      [ ]
    else if restarts then
      lib.drop 2 words
    else
      null;

  unitOf = name: if builtins.match ".*[.].*" name == null then "${name}.service" else name;

  keyOf = _: one: {
    name = baseNameOf one.destination;
    destDir = dirOf one.destination;
    keyFile =
      if lib.hasPrefix "/" one.source then one.source else toString (folder + "/${one.source}");
    inherit (one.owner) user group;
    inherit (one) permissions uploadAt;
    restartUnits = map unitOf (
      if restarted one.action == null then [ ] else restarted one.action
    );
  };

  notRun = lib.filterAttrs (_: one: restarted one.action == null) secrets;
  isAsked = builtins.any (name: (preDeployChecks.${name} or [ ]) != [ ]) (
    builtins.attrNames checks.options
  );
in
{
  options.deployment = {
    buildOnly = option types.bool false ''
      Whether nobody can reach it: it is listed without an address, and left alone.
    '';
    secrets = option (types.attrsOf (types.submodule secret)) { } "Keys, by morph's name.";
    preDeployChecks = checks.options;
  };

  config = {
    deployment.keys = lib.mapAttrs keyOf secrets;
    warnings =
      lib.optional isAsked
        "deployment.preDeployChecks are not run: a plan looks at what the host runs, and deployment.healthChecks judge what is new"
      ++ lib.mapAttrsToList (
        name: one:
        "the action of deployment.secrets.${name} is not run (${lib.concatStringsSep " " one.action}): deployment.keys.${name}.restartUnits can restart units"
      ) notRun;
  };
}
