# What the tests look at: for each machine what it would run, and some of its options.
{ repository }:

let
  machine = node: {
    toplevel = node.config.system.build.toplevel.drvPath;
    units = builtins.mapAttrs (_: unit: unit.unit.outPath) node.config.systemd.units;
    users = builtins.attrNames node.config.users.users;
    ports = node.config.networking.firewall.allowedTCPPorts;
    etc = builtins.mapAttrs (_: file: file.text or null) node.config.environment.etc;
    # Without the keys, whose texts are read from files that are not here.
    deployment = removeAttrs node.config.deployment [ "keys" ];
    keys = builtins.mapAttrs (_: key: removeAttrs key [ "text" ])
      node.config.deployment.keys;
  };

  # Whoever deploys these machines declares the options of keys.
  keys = { lib, ... }: {
    options.deployment.keys = lib.mkOption {
      type = lib.types.attrsOf lib.types.raw;
      default = { };
    };
  };

  fromHosts = extra: name: import <nixpkgs/nixos/lib/eval-config.nix> {
    modules = [ (repository + "/hosts/${name}/configuration.nix") keys extra ];
  };
in
{
  # Through hosts/<name>/configuration.nix, each on its own.
  hosts = builtins.mapAttrs (name: _: machine (fromHosts { } name))
    (builtins.readDir (repository + "/hosts"));

  # Through a NixOps network.
  network = file: builtins.mapAttrs (_: machine)
    (import ./nixops.nix { network = repository + "/${file}"; });

  # With another greeting, as after a commit that changes one line.
  changed = machine
    (fromHosts { within.services.withinbot.greeting = "Hi."; } "chrysalis");
}
