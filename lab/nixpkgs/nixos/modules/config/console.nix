# Accepted and inert, all of it: a host of the fleet has no console, and its clock and locale
# are the image's. Only the time zone is written.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  inert =
    type: default:
    mkOption {
      inherit type default;
      description = "Inert.";
    };
in
{
  options = {
    console = {
      enable = inert types.bool true;
      keyMap = inert (types.either types.str types.path) "us";
      font = inert (types.nullOr (types.either types.str types.path)) null;
      colors = inert (types.listOf types.str) [ ];
      packages = inert (types.listOf types.package) [ ];
      earlySetup = inert types.bool false;
      useXkbConfig = inert types.bool false;
    };
    i18n = {
      defaultLocale = inert types.str "en_US.UTF-8";
      extraLocaleSettings = inert (types.attrsOf types.str) { };
      supportedLocales = inert (types.listOf types.str) [ ];
    };
    time = {
      hardwareClockInLocalTime = inert types.bool false;
      timeZone = mkOption {
        type = types.nullOr types.str;
        default = null;
        description = "The time zone, a name below /usr/share/zoneinfo.";
      };
    };
  };
  config.environment.etc = lib.mkIf (config.time.timeZone != null) {
    localtime.source = "/usr/share/zoneinfo/${config.time.timeZone}";
    timezone.text = "${config.time.timeZone}\n";
  };
}
