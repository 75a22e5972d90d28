# Units, and the configuration of systemd itself. The machine's own units (journald, dbus,
# getty …) stay in /lib/systemd/system, where systemd looks after /etc/systemd/system.
{
  config,
  lib,
  pkgs,
  utils,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.systemd;
  systemdLib = import ../../../lib/systemd-lib.nix { inherit lib pkgs config; };
  kinds = import ../../../lib/systemd-options.nix {
    inherit
      lib
      systemdLib
      pkgs
      config
      ;
  };
  inherit (kinds) option;

  unitsOf =
    type: suffix: make:
    lib.mapAttrs' (name: c: lib.nameValuePair "${name}.${suffix}" (make name c)) cfg.${type};
  mountsOf =
    list: suffix: make:
    lib.listToAttrs (
      map (c: lib.nameValuePair "${utils.escapeSystemdPath c.where}.${suffix}" (make c)) list
    );

  rawUnit = types.submodule (
    { name, config, ... }:
    {
      options = kinds.common // {
        text = mkOption {
          type = types.nullOr types.str;
          default = null;
          description = "What the unit's file holds.";
        };
        unit = mkOption {
          type = types.package;
          internal = true;
          default = systemdLib.makeUnit name config;
          defaultText = "made of the text";
          description = "The unit's store path.";
        };
      };
    }
  );

  # Units of the machine that modules may add to: what they say becomes a drop-in.
  upstream = map (name: "${name}.service") [
    "dbus"
    "getty@"
    "nix-daemon"
    "systemd-journald"
    "systemd-logind"
    "systemd-networkd"
    "systemd-tmpfiles-clean"
    "systemd-tmpfiles-setup"
    "systemd-user-sessions"
    "user@"
  ];
  # `service-name = [ times ]` as timers.
  startTimers = lib.mapAttrs (_: service: {
    wantedBy = [ "timers.target" ];
    timerConfig.OnCalendar = service.startAt;
  }) (lib.filterAttrs (_: service: service.enable && service.startAt != [ ]) cfg.services);

  serviceProblems =
    name: service:
    let
      c = service.serviceConfig;
      isOneshot = c.Type or "" == "oneshot";
    in
    lib.optional (isOneshot && builtins.elem (c.Restart or "no") [ "always" "on-success" ])
      "Service '${name}.service' with 'Type=oneshot' cannot have 'Restart=always' or 'Restart=on-success'"
    ++ lib.optional (service.reloadIfChanged && service.reloadTriggers != [ ])
      "Service '${name}.service' has both 'reloadIfChanged' and 'reloadTriggers' set.";
in
{
  options.systemd = {
    package = option types.package pkgs.systemd "The systemd package.";
    packages = option (types.listOf types.package) [ ] "Packages that bring units.";
    units = option (types.attrsOf rawUnit) { } "Every unit, as text.";
    services = option kinds.services { } "Services.";
    targets = option kinds.targets { } "Targets.";
    sockets = option kinds.sockets { } "Sockets.";
    timers = option kinds.timers { } "Timers.";
    paths = option kinds.paths { } "Paths.";
    slices = option kinds.slices { } "Slices.";
    mounts = option kinds.mounts [ ] "Mounts.";
    automounts = option kinds.automounts [ ] "Automounts.";
    defaultUnit = option types.str "multi-user.target" "The unit that the system boots into.";
    globalEnvironment = option (types.attrsOf (types.nullOr types.str)) { } "Environment of every service.";
    extraConfig = option types.lines "" "Lines for system.conf.";
    settings.Manager = kinds.sectionOf "The section [Manager] of system.conf.";
    enableEmergencyMode = option types.bool true "Inert.";
    suppressedSystemUnits = option (types.listOf types.str) [ ] "Units of the machine to mask.";
    # Hosts have no user managers.
    user = option (types.attrsOf types.anything) { } "Inert.";
    network = option (types.attrsOf types.anything) { } "Inert: the hosts share the machine's network.";
    coredump = option (types.attrsOf types.anything) { } "Inert.";
    oomd = option (types.attrsOf types.anything) { } "Inert.";
    sleep = option (types.attrsOf types.anything) { } "Inert.";
    watchdog = option (types.attrsOf types.anything) { } "Inert.";
  };
  options.services.journald = {
    extraConfig = option types.lines "" "Lines for journald.conf.";
    storage = option types.str "auto" "Where the journal is kept.";
    rateLimitBurst = option types.int 10000 "How many messages are too many.";
    rateLimitInterval = option types.str "30s" "In how long.";
  };
  options.services.logind = option (types.attrsOf types.anything) { } "Inert.";

  config = {
    systemd.units =
      unitsOf "services" "service" systemdLib.serviceUnit
      // unitsOf "targets" "target" (_: systemdLib.targetUnit)
      // unitsOf "sockets" "socket" (_: systemdLib.socketUnit)
      // unitsOf "timers" "timer" (_: c: systemdLib.sectionUnit "Timer" c.timerConfig c)
      // unitsOf "paths" "path" (_: c: systemdLib.sectionUnit "Path" c.pathConfig c)
      // unitsOf "slices" "slice" (_: c: systemdLib.sectionUnit "Slice" c.sliceConfig c)
      // mountsOf cfg.mounts "mount" systemdLib.mountUnit
      // mountsOf cfg.automounts "automount" systemdLib.automountUnit
      // lib.genAttrs cfg.suppressedSystemUnits (_: { enable = false; });
    systemd.timers = startTimers;

    systemd.targets = {
      multi-user = {
        description = "Multi-User System";
        requires = [ "basic.target" ];
        conflicts = [
          "rescue.service"
          "rescue.target"
        ];
        after = [
          "basic.target"
          "rescue.service"
          "rescue.target"
        ];
        unitConfig.AllowIsolate = true;
      };
      graphical = {
        description = "Graphical Interface";
        requires = [ "multi-user.target" ];
        after = [ "multi-user.target" ];
        unitConfig.AllowIsolate = true;
      };
      # Whoever uploads secrets starts it; it is stopped so that its users wait again.
      keys = {
        description = "Security Keys";
        unitConfig.X-StopOnReconfiguration = true;
      };
    };

    system.build.units = systemdLib.generateUnits {
      inherit (cfg) units packages defaultUnit;
      inherit upstream;
    };
    environment.etc = {
      "systemd/system".source = config.system.build.units;
      "systemd/system.conf".text = "[Manager]\n${systemdLib.section cfg.settings.Manager}${cfg.extraConfig}";
      "systemd/journald.conf".text = ''
        [Journal]
        Storage=${config.services.journald.storage}
        RateLimitInterval=${config.services.journald.rateLimitInterval}
        RateLimitBurst=${toString config.services.journald.rateLimitBurst}
        ${config.services.journald.extraConfig}
      '';
    };
    assertions = map (message: {
      assertion = false;
      inherit message;
    }) (builtins.concatLists (lib.mapAttrsToList serviceProblems cfg.services));
  };
}
