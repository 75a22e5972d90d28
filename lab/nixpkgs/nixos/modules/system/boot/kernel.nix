# The kernel a host would boot. The fleet's hosts run the machine's kernel; these files make a
# change of kernel visible, as on real hardware: by the links of the toplevel.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  strings =
    description:
    mkOption {
      type = types.listOf types.str;
      default = [ ];
      inherit description;
    };
  cfg = config.boot;
in
{
  options.boot = {
    kernelPackages = mkOption {
      type = types.raw;
      default = pkgs.linuxPackages;
      defaultText = lib.literalExpression "pkgs.linuxPackages";
      description = "The kernel and what is built for it.";
    };
    kernelParams = strings "The kernel's command line; part of the toplevel.";
    kernelModules = strings "Modules to load once the system is up; part of the initial ramdisk's file.";
    blacklistedKernelModules = strings "Inert.";
    supportedFilesystems = mkOption {
      type = types.either (types.listOf types.str) (types.attrsOf types.bool);
      default = [ ];
      description = "Inert.";
    };
    extraModulePackages = mkOption {
      type = types.listOf types.package;
      default = [ ];
      description = "Inert.";
    };
    extraModprobeConfig = mkOption {
      type = types.lines;
      default = "";
      description = "Inert.";
    };
    # Written to /etc/sysctl.d, but a container may set only a few of them.
    kernel.sysctl = mkOption {
      type = types.attrsOf (
        types.nullOr (
          types.oneOf [
            types.bool
            types.int
            types.str
          ]
        )
      );
      default = { };
      description = "Parameters of the running kernel.";
    };
    initrd = {
      availableKernelModules = strings "Modules in the initial ramdisk.";
      kernelModules = strings "Modules that the initial ramdisk loads.";
      supportedFilesystems = mkOption {
        type = types.either (types.listOf types.str) (types.attrsOf types.bool);
        default = [ ];
        description = "Inert.";
      };
      secrets = mkOption {
        type = types.attrsOf (types.nullOr (types.either types.str types.path));
        default = { };
        description = "Inert.";
      };
      luks = mkOption {
        type = types.attrs;
        default = { };
        description = "Inert.";
      };
      systemd.enable = mkOption {
        type = types.bool;
        default = false;
        description = "Inert.";
      };
    };
    isContainer = mkOption {
      type = types.bool;
      default = false;
      description = "Inert.";
    };
    growPartition = mkOption {
      type = types.bool;
      default = false;
      description = "Inert.";
    };
    tmp = {
      useTmpfs = mkOption {
        type = types.bool;
        default = false;
        description = "Inert.";
      };
      cleanOnBoot = mkOption {
        type = types.bool;
        default = false;
        description = "Inert.";
      };
    };
  };


  config = {
    system.build.kernel = cfg.kernelPackages.kernel;
    system.build.initialRamdisk = pkgs.writeTextDir "initrd" ''
      not a ramdisk
      kernel ${cfg.kernelPackages.kernel.version}
      modules ${toString (cfg.initrd.availableKernelModules ++ cfg.initrd.kernelModules)}
    '';
    environment.etc."modules-load.d/nixos.conf".text = lib.concatLines cfg.kernelModules;
    environment.etc."sysctl.d/60-nixos.conf".text = lib.concatLines (
      lib.mapAttrsToList (name: value: "${name}=${if value == false then "0" else toString value}") (
        lib.filterAttrs (_: value: value != null) cfg.kernel.sysctl
      )
    );
  };
}
