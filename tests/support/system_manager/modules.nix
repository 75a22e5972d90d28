# The options that its modules have, as far as tests set them, and what is built of them.
{
  config,
  lib,
  nixpkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  pkgs = import nixpkgs { system = config.nixpkgs.hostPlatform; };
  systemdLib = import (nixpkgs + "/nixos/lib/systemd-lib.nix") { inherit lib pkgs config; };
  kinds = import (nixpkgs + "/nixos/lib/systemd-options.nix") {
    inherit lib systemdLib pkgs config;
  };
  inherit (kinds) option;
  cfg = config.systemd;

  rawUnit = types.submodule (
    { name, config, ... }:
    {
      options = kinds.common // {
        text = option (types.nullOr types.str) null "";
        unit = mkOption {
          type = types.package;
          default = systemdLib.makeUnit name config;
        };
      };
    }
  );
  file = types.submodule (
    {
      name,
      config,
      options,
      ...
    }:
    {
      options = {
        enable = option types.bool true "";
        target = option types.str name "";
        text = option (types.nullOr types.lines) null "";
        source = mkOption { type = types.path; };
        mode = option types.str "symlink" "";
        uid = option types.int 0 "";
        gid = option types.int 0 "";
        user = option types.str "+${toString config.uid}" "";
        group = option types.str "+${toString config.gid}" "";
        replaceExisting = option types.bool false "";
      };
      config.source = lib.mkIf (config.text != null) (
        lib.mkDerivedConfig options.text (pkgs.writeText ("etc-" + baseNameOf name))
      );
    }
  );
  assertion.options = {
    enable = option types.bool true "";
    script = mkOption { type = types.str; };
  };

  enabled = lib.filterAttrs (_: unit: unit.enable) cfg.units;
  # What the boot targets of NixOS want, its own target does.
  target =
    name: if name == "multi-user.target" || name == "timers.target" then "system-manager.target" else name;
  links =
    kind: name: targets:
    lib.concatMapStrings (to: ''
      mkdir -p "$out/${target to}.${kind}"
      ln -sfn "../${name}" "$out/${target to}.${kind}/"
    '') targets;
  units = pkgs.runCommand "system-manager-units" { } ''
    mkdir -p $out
    ${lib.concatStrings (lib.mapAttrsToList (name: one: "ln -s ${one.unit}/${name} $out/\n") enabled)}
    ${lib.concatStrings (
      lib.mapAttrsToList (
        name: one: links "wants" name one.wantedBy + links "requires" name one.requiredBy
      ) enabled
    )}
  '';
  inStore =
    name: one:
    pkgs.runCommand "${baseNameOf name}-etc-link" { } ''
      mkdir -p "$out/$(dirname ${one.target})"
      ln -s ${one.source} "$out/${one.target}"
    '';
  files = lib.filterAttrs (_: one: one.enable) config.environment.etc;
in
{
  options = {
    nixpkgs.hostPlatform = mkOption { type = types.str; };
    nixpkgs.pkgs = option types.raw pkgs "";
    assertions = option (types.listOf types.unspecified) [ ] "";
    warnings = option (types.listOf types.str) [ ] "";
    environment.etc = option (types.attrsOf file) { } "";
    system-manager.preActivationAssertions = option (types.attrsOf (types.submodule assertion)) { } "";
    system.autoUpgrade.enable = option types.bool false "";
    build.etc = option types.raw { } "";
    build.services = option types.raw { } "";
    systemd = {
      units = option (types.attrsOf rawUnit) { } "";
      services = option kinds.services { } "";
      targets = option kinds.targets { } "";
      timers = option kinds.timers { } "";
      maskedUnits = option (types.listOf types.str) [ ] "";
      globalEnvironment = option types.raw { } "";
    };
  };

  config = {
    _module.args.pkgs = pkgs;
    systemd.targets.system-manager.wantedBy = [ "default.target" ];
    systemd.timers = lib.mapAttrs (_: service: {
      wantedBy = [ "timers.target" ];
      timerConfig.OnCalendar = service.startAt;
    }) (lib.filterAttrs (_: service: service.enable && service.startAt != [ ]) cfg.services);
    systemd.targets.sysinit-reactivation.description = "Reactivate sysinit units";
    systemd.units =
      lib.mapAttrs' (name: c: lib.nameValuePair "${name}.service" (systemdLib.serviceUnit name c)) cfg.services
      // lib.mapAttrs' (name: c: lib.nameValuePair "${name}.target" (systemdLib.targetUnit c)) cfg.targets
      // lib.mapAttrs' (
        name: c: lib.nameValuePair "${name}.timer" (systemdLib.sectionUnit "Timer" c.timerConfig c)
      ) cfg.timers;
    environment.etc."systemd/system".source = units;

    build.services =
      lib.mapAttrs (name: one: {
        storePath = "${one.unit}/${name}";
        masked = false;
      }) enabled
      // lib.genAttrs cfg.maskedUnits (_: {
        storePath = null;
        masked = true;
      });
    build.etc = {
      entries = lib.mapAttrs (name: one: one // { source = "${inStore name one}"; }) files;
      staticEnv = pkgs.buildEnv {
        name = "etc-static-env";
        paths = lib.mapAttrsToList inStore (lib.filterAttrs (_: one: one.mode == "symlink") files);
      };
    };
  };
}
