# /run/current-system/sw: the packages that everybody has.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.environment;
in
{
  options.environment = {
    systemPackages = mkOption {
      type = types.listOf types.package;
      default = [ ];
      description = "Packages whose files are linked into /run/current-system/sw.";
    };
    defaultPackages = mkOption {
      type = types.listOf types.package;
      default = [ ];
      description = "Packages that are there unless this is set to the empty list.";
    };
    corePackages = mkOption {
      type = types.listOf types.package;
      default = [
        pkgs.bash
        pkgs.coreutils
        pkgs.nix
        pkgs.shadow
        pkgs.systemd
      ];
      defaultText = "what every system needs";
      description = "Packages that every system needs.";
    };
    pathsToLink = mkOption {
      type = types.listOf types.str;
      default = [ ];
      description = "Directories of the packages that are linked.";
    };
    extraOutputsToInstall = mkOption {
      type = types.listOf types.str;
      default = [ ];
      description = "Inert: packages have one output here.";
    };
  };
  options.system.path = mkOption {
    type = types.package;
    internal = true;
    description = "The tree of links.";
  };

  config = {
    environment.pathsToLink = [
      "/bin"
      "/etc"
      "/lib"
      "/sbin"
      "/share"
    ];
    system.path = pkgs.buildEnv {
      name = "system-path";
      paths = cfg.systemPackages ++ cfg.defaultPackages ++ cfg.corePackages;
      inherit (cfg) pathsToLink;
    };
  };
}
