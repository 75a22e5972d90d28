# File systems become mount units, but for those that a host of the fleet has from the
# start and cannot change: its root, its store and the kernel's own.
{
  config,
  lib,
  ...
}:
let
  inherit (lib) mkOption types;
  fileSystem = types.submodule (
    { name, config, ... }:
    {
      options = {
        mountPoint = mkOption {
          type = types.nonEmptyStr;
          default = name;
          description = "Where it is mounted.";
        };
        device = mkOption {
          type = types.nullOr types.nonEmptyStr;
          default = null;
          description = "What is mounted.";
        };
        label = mkOption {
          type = types.nullOr types.nonEmptyStr;
          default = null;
          description = "The label of what is mounted.";
        };
        fsType = mkOption {
          type = types.nonEmptyStr;
          default = "auto";
          description = "The kind of file system.";
        };
        options = mkOption {
          type = types.listOf types.nonEmptyStr;
          default = [ "defaults" ];
          description = "Mount options.";
        };
        depends = mkOption {
          type = types.listOf types.nonEmptyStr;
          default = [ ];
          description = "Paths that must be mounted before.";
        };
        neededForBoot = mkOption {
          type = types.bool;
          default = false;
          description = "Inert: nothing is mounted before the system starts.";
        };
        noCheck = mkOption {
          type = types.bool;
          default = false;
          description = "Inert: nothing is checked.";
        };
        autoFormat = mkOption {
          type = types.bool;
          default = false;
          description = "Inert: nothing is formatted.";
        };
        autoResize = mkOption {
          type = types.bool;
          default = false;
          description = "Inert: nothing is resized.";
        };
      };
      config.device = lib.mkIf (config.label != null) (lib.mkDefault "/dev/disk/by-label/${config.label}");
    }
  );
  # A container's root is its supervisor's, and it has no disks.
  isGiven =
    fs:
    builtins.elem fs.mountPoint [
      "/"
      "/boot"
      "/boot/efi"
      "/nix"
      "/nix/store"
    ]
    || (fs.device != null && lib.hasPrefix "/dev/" fs.device);
  # The kernel's own file systems are the container's; a memory-backed one can be ours. It
  # is mounted before systemd runs and stays over every switch.
  mountSpecial =
    fs:
    lib.optionalString (fs.fsType == "ramfs") ''
      mkdir -p ${lib.escapeShellArg fs.mountPoint}
      if ! mountpoint -q ${lib.escapeShellArg fs.mountPoint}; then
          mount -t ramfs -o ${lib.escapeShellArg (lib.concatStringsSep "," fs.options)} ramfs ${lib.escapeShellArg fs.mountPoint}
      fi
    '';
  mountOf = fs: {
    what = if fs.device == null then fs.fsType else fs.device;
    where = fs.mountPoint;
    type = lib.mkIf (fs.fsType != "auto") fs.fsType;
    options = lib.concatStringsSep "," fs.options;
    wantedBy = lib.mkIf (!(builtins.elem "noauto" fs.options)) [ "local-fs.target" ];
    unitConfig.RequiresMountsFor = fs.depends;
  };
in
{
  options = {
    fileSystems = mkOption {
      type = types.attrsOf fileSystem;
      default = { };
      description = "File systems to mount. Block devices are accepted and inert: a host has none.";
    };
    boot.specialFileSystems = mkOption {
      type = types.attrsOf fileSystem;
      default = { };
      description = "File systems that are there before systemd runs. Those that are no ramfs are inert: the container has them.";
    };
    # Accepted and inert.
    swapDevices = mkOption {
      type = types.listOf types.attrs;
      default = [ ];
      description = "Inert: the hosts share the machine's memory.";
    };
    zramSwap.enable = mkOption {
      type = types.bool;
      default = false;
      description = "Inert.";
    };
    hardware = mkOption {
      type = types.submodule { freeformType = types.attrsOf types.anything; };
      default = { };
      description = "Inert: the hosts are containers.";
    };
    powerManagement = mkOption {
      type = types.attrsOf types.anything;
      default = { };
      description = "Inert: the hosts are containers.";
    };
  };
  config = {
    systemd.mounts = map mountOf (
      builtins.filter (fs: !isGiven fs) (builtins.attrValues config.fileSystems)
    );
    boot.specialFileSystems."/run/keys" = {
      fsType = "ramfs";
      options = [
        "nosuid"
        "nodev"
        "mode=750"
      ];
    };
    system.activationScripts.specialfs = lib.concatMapStrings mountSpecial (
      builtins.attrValues config.boot.specialFileSystems
    );
    # As on NixOS, by number: the group may be about to be made.
    systemd.tmpfiles.rules = [
      "d /run/keys 0750 root ${toString config.users.groups.keys.gid}"
      "z /run/keys 0750 root ${toString config.users.groups.keys.gid}"
    ];
  };
}
