# Module evaluations that must fail, by name. Each is looked at in a process of its own.
{ lib }:
let
  inherit (lib) evalModules mkOption types;
  config = modules: (evalModules { inherit modules; }).config;
  option = type: mkOption { inherit type; };
  # An option `services.web.port` and values, each from a file of its own.
  port =
    type: values:
    config (
      [
        {
          _file = "/modules/web.nix";
          options.services.web.port = option type;
        }
      ]
      ++ lib.imap1 (n: value: {
        _file = "/hosts/file${toString n}.nix";
        services.web.port = value;
      }) values
    );
  submodule = types.attrsOf (types.submodule { options.size = option types.int; });
in
{
  wrongType = port types.int [ "http" ];
  wrongTypeInOneOfTwoFiles = port types.int [
    80
    { a = 1; }
  ];
  wrongElement = port (types.listOf types.int) [
    [ 1 ]
    [
      2
      "three"
    ]
  ];
  wrongMember = port (types.attrsOf types.bool) [ { tls = "yes"; } ];
  tooBig = port types.port [ 70000 ];
  noMember = port (types.enum [ "http" "https" ]) [ "gopher" ];
  conflict = port types.int [
    80
    81
  ];
  conflictingStrings = port types.str [
    "a"
    "b"
  ];
  definedTwice = port (types.uniq types.int) [
    80
    80
  ];
  nullAndNot = port (types.nullOr types.int) [
    null
    1
  ];
  notDefined = port types.int [ ];
  readOnly = config [
    {
      _file = "/modules/web.nix";
      options.fixed = mkOption {
        type = types.int;
        readOnly = true;
        default = 1;
      };
    }
    {
      _file = "/hosts/a.nix";
      fixed = 2;
    }
  ];
  noSuchOption = config [
    { options.services.web.enable = lib.mkEnableOption "web"; }
    {
      _file = "/hosts/a.nix";
      services.wob.enable = true;
    }
  ];
  misspelled = config [
    {
      options.services.web = {
        enable = lib.mkEnableOption "web";
        port = option types.int;
      };
    }
    {
      _file = "/hosts/a.nix";
      services.web.enabel = true;
    }
  ];
  noOptionsAtAll = config [
    {
      _file = "/hosts/a.nix";
      a = 1;
    }
  ];
  inSubmodule = config [
    {
      _file = "/modules/disks.nix";
      options.disks = option submodule;
    }
    {
      _file = "/hosts/a.nix";
      disks.sda.size = "big";
    }
  ];
  noSuchOptionInSubmodule = config [
    {
      _file = "/modules/disks.nix";
      options.disks = option submodule;
    }
    {
      _file = "/hosts/a.nix";
      disks.sda.sise = 1;
    }
  ];
  unsupportedAttribute = config [
    {
      _file = "/hosts/a.nix";
      config = { };
      services = { };
    }
  ];
  importsInImports = config [ { imports = [ [ { } ] ]; } ];
  declaredTwice = config [
    {
      _file = "/modules/a.nix";
      options.a = option types.int;
    }
    {
      _file = "/modules/b.nix";
      options.a = option types.str;
    }
  ];
  belowAnOption = config [
    {
      _file = "/modules/a.nix";
      options.a = option types.int;
    }
    {
      _file = "/modules/b.nix";
      options.a.b = option types.int;
    }
  ];
  mkIfOfNoBool = port types.int [ (lib.mkIf "yes" 1) ];
  noModule = config [ (_: 5) ];
  notEither = port (types.either types.int types.bool) [ "x" ];
  longValue = port types.int [
    {
      a = 1;
      b = 2;
      c = 3;
      d = 4;
      e = 5;
    }
  ];
  wrongClass =
    (evalModules {
      class = "nixos";
      modules = [
        {
          _file = "/modules/home.nix";
          _class = "homeManager";
        }
      ];
    }).config;
  typeInPlaceOfOption = config [
    {
      _file = "/modules/a.nix";
      options.a = types.int;
    }
  ];
  disabledWithoutKey = config [
    {
      _file = "/hosts/a.nix";
      disabledModules = [ { } ];
    }
  ];
  missingArgument = config [ ({ nowhere, ... }: { options.a = option types.int; config.a = nowhere; }) ];
  removed =
    (config [
      (lib.mkRemovedOptionModule [ "gone" ] "Use something else.")
      { options.assertions = option (types.listOf types.unspecified); }
      { gone = 1; }
    ]).gone;
}
