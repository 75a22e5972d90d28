# What the reconciler wants to know of one host, as plain JSON values. Nothing here may
# hold the content of a key or of a unit: only store paths and chosen directives.
{ node, outside }:
let
  inherit (node) config lib;

  keys = import ./keys.nix { inherit lib; };
  checks = import ./checks.nix { inherit lib; };

  inherit (config.system.build) toplevel;
  # Of another tool's options, or of none at all: what is not there is left out.
  deployment = config.deployment or { };

  plain = builtins.unsafeDiscardStringContext;

  # The directives of a unit file that say what starts it and how it is changed.
  directives = {
    BindsTo = null;
    Requires = null;
    Upholds = null;
    Wants = null;
    RefuseManualStart = null;
    RefuseManualStop = null;
    X-OnlyManualStart = null;
    BusName = null;
    RemainAfterExit = null;
    Sockets = null;
    Type = null;
    X-ReloadIfChanged = null;
    X-RestartIfChanged = null;
    X-StopIfChanged = null;
    Accept = null;
    Service = null;
    Unit = null;
  };

  lines =
    text: builtins.filter builtins.isString (builtins.split "\n" (joined text));

  # systemd.syntax(7): a line that ends in a backslash goes on in the next one.
  joined = builtins.replaceStrings [ "\\\n" ] [ " " ];

  # Only the beginning of a line is matched: long lines overflow the regex engine.
  keyOf =
    line:
    let
      start = builtins.substring 0 40 line;
      match = builtins.match "[ \t]*([A-Za-z-]+)[ \t]*=.*" start;
    in
    if match == null then "" else builtins.head match;

  isSection = line: builtins.match "[ \t]*\\[.*" (builtins.substring 0 40 line) != null;

  isChosen = line: directives ? ${keyOf line} || isSection line;

  linesOf =
    unit:
    let
      text = unit.text or null;
    in
    if text == null then [ ] else map plain (builtins.filter isChosen (lines text));

  # The unit file as a host has it: systemd-lib.nix puts it under its own name.
  fileOf = name: unit: plain "${unit.unit}/${name}";

  factsOf =
    name: unit:
    let
      enabled = unit.enable or true;
    in
    {
      path = if enabled then fileOf name unit else null;
      lines = if enabled then linesOf unit else [ ];
      aliases = unit.aliases or [ ];
      wantedBy = unit.wantedBy or [ ];
      requiredBy = unit.requiredBy or [ ];
      upheldBy = unit.upheldBy or [ ];
    };
in
# The toplevel first: it holds the assertions, whose message says most.
builtins.seq toplevel.drvPath {
  kind = node.kind or "nixos";
  toplevel = plain toplevel.outPath;
  derivation = plain toplevel.drvPath;
  platform = toplevel.system or "";
  defaultUnit = config.systemd.defaultUnit or "multi-user.target";
  units = builtins.mapAttrs factsOf config.systemd.units;
  warnings = map plain ((config.warnings or [ ]) ++ import ./clan.nix { inherit config lib; });
  keys = builtins.mapAttrs (_: keys.factsOf) (deployment.keys or { });
  checks = checks.factsOf (deployment.healthChecks or { });
  programsHere = map (file: plain file.drvPath) (
    checks.programsHere (node.pkgs or config._module.args.pkgs) (deployment.healthChecks or { })
  );
  places = import ./places.nix { inherit node outside; };
  rules = builtins.mapAttrs (_: rule: { inherit (rule) heal mayFail; }) (
    deployment.units or { }
  );
  ssh = import ./ssh.nix { inherit config lib; };
  secrets = import ./secrets.nix { inherit config lib; };
  base = import ./base.nix { inherit config lib; };
  deployment = {
    hasFastConnection = outside.deploy.fastConnection or (deployment.hasFastConnection or false);
    # As Colmena, deploy-rs and nixinate say it.
    buildOnHost =
      (deployment.buildOnTarget or false)
      || (outside.deploy.remoteBuild or false)
      || (node._module.args.nixinate.buildOn or "local") == "remote";
    tags = (deployment.tags or [ ]) ++ map plain (outside.clan.tags or [ ]);
    specialisation = deployment.specialisation or null;
    specialisations = builtins.attrNames (config.specialisation or { });
  };
}
