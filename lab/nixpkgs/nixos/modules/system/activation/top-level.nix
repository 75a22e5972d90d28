# The toplevel: one store path that is the whole system.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  inherit (config.system) build;

  failed = map (a: a.message) (builtins.filter (a: !a.assertion) config.assertions);
  checked =
    system:
    if failed != [ ] then
      throw "\nFailed assertions:\n${lib.concatMapStringsSep "\n" (message: "- ${message}") failed}"
    else
      lib.showWarnings config.warnings system;

  # Everything that a toplevel is made of, by one short shell: the texts carry the
  # toplevel's own path, which is known only inside of the build.
  base = derivation {
    name = "nixos-system-${config.system.name}-${config.system.nixos.label}";
    inherit (pkgs) system;
    builder = "/bin/sh";
    PATH = "/usr/bin:/bin";
    preferLocalBuild = true;
    allowSubstitutes = false;
    passAsFile = [
      "activate"
      "dryActivate"
      "extraCommands"
    ];
    inherit (build) activate dryActivate etc;
    inherit (config.system) extraSystemBuilderCmds extraDependencies;
    init = build.bootStage2;
    inherit (build) kernel initialRamdisk;
    path = config.system.path;
    systemd = config.systemd.package;
    version = config.system.nixos.version;
    kernelParams = config.boot.kernelParams;
    initInterface = config.system.initInterfaceVersion;
    platform = pkgs.stdenv.hostPlatform.system;
    extraCommands = config.system.systemBuilderCommands + config.system.extraSystemBuilderCmds;
    args = [
      "-ec"
      ''
        mkdir "$out"
        sed "s|@out@|$out|g" "$activatePath" >"$out/activate"
        sed "s|@out@|$out|g" "$dryActivatePath" >"$out/dry-activate"
        sed "s|@systemConfig@|$out|g" "$init" >"$out/init"
        chmod +x "$out/activate" "$out/dry-activate" "$out/init"
        ln -s "$etc/etc" "$out/etc"
        ln -s "$path" "$out/sw"
        ln -s "$systemd" "$out/systemd"
        ln -s "$kernel/bzImage" "$out/kernel"
        ln -s "$kernel" "$out/kernel-modules"
        ln -s "$initialRamdisk/initrd" "$out/initrd"
        printf %s "$kernelParams" >"$out/kernel-params"
        printf %s "$initInterface" >"$out/init-interface-version"
        printf %s "$version" >"$out/nixos-version"
        printf %s "$platform" >"$out/system"
        printf %s "$extraDependencies" >"$out/extra-dependencies"
        . "$extraCommandsPath"
      ''
    ];
  };
in
{
  options.system = {
    name = mkOption {
      type = types.str;
      default = if config.networking.hostName == "" then "unnamed" else config.networking.hostName;
      defaultText = "the host's name";
      description = "The name of the system, part of the toplevel's.";
    };
    build = mkOption {
      type = types.submodule { freeformType = types.lazyAttrsOf types.raw; };
      default = { };
      description = "What is built of the configuration.";
    };
    initInterfaceVersion = mkOption {
      type = types.str;
      default = "systemd ${toString config.systemd.package.interfaceVersion}";
      defaultText = "systemd's";
      description = "A system of another one of these cannot be switched to without a reboot.";
    };
    extraDependencies = mkOption {
      type = types.listOf types.package;
      default = [ ];
      description = "Store paths to keep with the system.";
    };
    extraSystemBuilderCmds = mkOption {
      type = types.lines;
      default = "";
      description = "Code that adds to the toplevel.";
    };
    systemBuilderCommands = mkOption {
      type = types.lines;
      default = "";
      internal = true;
      description = "Code of other modules that adds to the toplevel.";
    };
    copySystemConfiguration = mkOption {
      type = types.bool;
      default = false;
      description = "Inert.";
    };
  };

  config.system.build.toplevel = checked base;
}
