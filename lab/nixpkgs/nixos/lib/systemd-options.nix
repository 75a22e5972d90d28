# The options of units, by kind.
{ lib, systemdLib, pkgs, config }:
let
  inherit (lib) mkOption types;
  global = config.systemd;

  option =
    type: default: description:
    mkOption { inherit type default description; };
  unitNames = description: option (types.listOf types.str) [ ] description;
  atom = types.nullOr (
    types.oneOf [
      types.bool
      types.int
      types.float
      types.str
      types.path
      types.package
    ]
  );
  # What a section holds: a list repeats its key, and several definitions of one make a list.
  unitOption = lib.mkOptionType {
    name = "systemd option";
    check = value: atom.check value || (builtins.isList value && builtins.all atom.check value);
    merge =
      loc: defs:
      let
        values = lib.options.getValues defs;
      in
      if builtins.any builtins.isList values then
        lib.concatMap lib.toList values
      else
        lib.mergeEqualOption loc defs;
  };
  sectionOf = description: option (types.attrsOf unitOption) { } description;

  common = {
    enable = option types.bool true "Whether the unit exists; if not it is masked.";
    overrideStrategy = option (types.enum [
      "asDropinIfExists"
      "asDropin"
    ]) "asDropinIfExists" "Whether the unit adds to one that the machine brings.";
    aliases = unitNames "Further names.";
    wantedBy = unitNames "Units that pull this one in.";
    requiredBy = unitNames "Units that need this one.";
    upheldBy = unitNames "Units that keep this one up.";
  };
  unit = common // {
    name = mkOption {
      type = types.str;
      internal = true;
      description = "The name of the unit.";
    };
    description = option types.singleLineStr "" "What the unit is.";
    documentation = unitNames "Where its manual is.";
    requires = unitNames "Units that are started too and must not fail.";
    wants = unitNames "Units that are started too.";
    upholds = unitNames "Units that are kept up.";
    after = unitNames "Units that come first.";
    before = unitNames "Units that come later.";
    bindsTo = unitNames "Units that this one does not outlive.";
    partOf = unitNames "Units that stop and restart this one.";
    conflicts = unitNames "Units that cannot be up at the same time.";
    requisite = unitNames "Units that must be up already.";
    onFailure = unitNames "Units to start when this one fails.";
    onSuccess = unitNames "Units to start when this one is done.";
    unitConfig = sectionOf "The section [Unit].";
    startLimitBurst = option (types.nullOr types.int) null "How many starts are too many.";
    startLimitIntervalSec = option (types.nullOr types.int) null "In how many seconds.";
    restartTriggers = option (types.listOf types.unspecified) [ ] "What restarts the unit when it changes.";
    reloadTriggers = option (types.listOf types.unspecified) [ ] "What reloads the unit when it changes.";
  };

  scriptOption = option types.lines "";
  service = unit // {
    environment = option (types.attrsOf (
      types.nullOr (
        types.oneOf [
          types.str
          types.path
          types.package
          types.int
        ]
      )
    )) { } "Environment variables.";
    path = option (types.listOf (types.oneOf [ types.package types.str ])) [ ] "Packages for PATH.";
    enableDefaultPath = option types.bool true "Whether coreutils and the like are in PATH.";
    serviceConfig = sectionOf "The section [Service].";
    confinement = option types.attrs { } "Inert.";
    enableStrictShellChecks = option types.bool false "Inert.";
    script = scriptOption "Code that is the service.";
    scriptArgs = option types.str "" "Arguments of that code.";
    preStart = scriptOption "Code to run before.";
    postStart = scriptOption "Code to run after.";
    reload = scriptOption "Code that reloads.";
    preStop = scriptOption "Code that stops.";
    postStop = scriptOption "Code to run after stopping.";
    jobScripts = mkOption {
      type = types.listOf types.raw;
      internal = true;
      default = [ ];
      description = "The scripts that were made.";
    };
    restartIfChanged = option types.bool true "Whether a switch restarts the service when it changed.";
    reloadIfChanged = option types.bool false "Whether a switch reloads instead.";
    stopIfChanged = option types.bool true "Whether a switch stops it before and starts it after, in place of a restart.";
    notSocketActivated = option types.bool false "Whether a switch restarts it though it has a socket.";
    startAt = mkOption {
      type = types.either types.str (types.listOf types.str);
      default = [ ];
      apply = lib.toList;
      description = "When a timer starts it.";
    };
  };

  withServiceConfig =
    { name, config, ... }:
    let
      scriptFor = suffix: text: systemdLib.jobScript "${name}-${suffix}" text;
      exec = key: suffix: text: lib.mkIf (text != "") { ${key} = [ (scriptFor suffix text) ]; };
    in
    {
      config = {
        environment.PATH = lib.mkIf (config.path != [ ]) (
          "${lib.makeBinPath config.path}:${lib.makeSearchPathOutput "bin" "sbin" config.path}"
        );
        # Last, so that what a service asks for wins.
        path = lib.mkIf config.enableDefaultPath (
          lib.mkAfter [
            pkgs.coreutils
            pkgs.findutils
            pkgs.gnugrep
            pkgs.gnused
            pkgs.systemd
          ]
        );
        serviceConfig = lib.mkMerge [
          (lib.mkIf (config.script != "") {
            ExecStart =
              scriptFor "start" config.script
              + lib.optionalString (config.scriptArgs != "") " ${config.scriptArgs}";
          })
          (exec "ExecStartPre" "pre-start" config.preStart)
          (exec "ExecStartPost" "post-start" config.postStart)
          (lib.mkIf (config.reload != "") { ExecReload = scriptFor "reload" config.reload; })
          (lib.mkIf (config.preStop != "") { ExecStop = scriptFor "pre-stop" config.preStop; })
          (lib.mkIf (config.postStop != "") { ExecStopPost = scriptFor "post-stop" config.postStop; })
        ];
      };
    };
  named =
    suffix:
    { name, ... }:
    {
      config.name = lib.mkDefault "${name}.${suffix}";
    };
  kind = suffix: options: types.attrsOf (types.submodule [ (named suffix) { inherit options; } ]);
in
{
  inherit common option sectionOf;
  services = types.attrsOf (
    types.submodule [
      (named "service")
      { options = service; }
      withServiceConfig
      { config.environment = builtins.mapAttrs (_: lib.mkDefault) global.globalEnvironment; }
    ]
  );
  targets = kind "target" unit;
  sockets = kind "socket" (
    unit
    // {
      listenStreams = unitNames "Addresses of streams.";
      listenDatagrams = unitNames "Addresses of datagrams.";
      socketConfig = sectionOf "The section [Socket].";
    }
  );
  timers = kind "timer" (unit // { timerConfig = sectionOf "The section [Timer]."; });
  paths = kind "path" (unit // { pathConfig = sectionOf "The section [Path]."; });
  slices = kind "slice" (unit // { sliceConfig = sectionOf "The section [Slice]."; });
  mounts = types.listOf (
    types.submodule {
      options = unit // {
        what = option types.str "" "What is mounted.";
        where = mkOption {
          type = types.str;
          description = "Where it is mounted.";
        };
        type = option types.str "" "The kind of file system.";
        options = option types.commas "" "Mount options.";
        mountConfig = sectionOf "The section [Mount].";
      };
    }
  );
  automounts = types.listOf (
    types.submodule {
      options = unit // {
        where = mkOption {
          type = types.str;
          description = "Where it is mounted.";
        };
        automountConfig = sectionOf "The section [Automount].";
      };
    }
  );
}
