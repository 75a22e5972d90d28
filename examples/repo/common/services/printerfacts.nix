# Facts about printers over HTTP, with /healthz and /metrics.
{ config, lib, pkgs, ... }:

with lib;

let
  cfg = config.within.services.printerfacts;
in
{
  options.within.services.printerfacts = {
    enable = mkEnableOption "the printer facts over HTTP";

    address = mkOption {
      type = types.str;
      default = config.networking.hostName;
      defaultText = literalExpression "config.networking.hostName";
      example = "192.168.0.127";
      description = "The host name or IP address to listen on.";
    };

    port = mkOption {
      type = types.port;
      default = 8627;
      description = "The TCP port to listen on.";
    };

    facts = mkOption {
      type = types.path;
      default = pkgs.within.facts;
      defaultText = literalExpression "pkgs.within.facts";
      description = "A text file with one fact to a line.";
    };
  };

  config = mkIf cfg.enable {
    users.users.printerfacts = {
      isSystemUser = true;
      createHome = true;
      description = "printer facts";
      home = "/srv/within/printerfacts";
      group = "within";
    };

    systemd.services.printerfacts = {
      description = "Printer facts over HTTP";
      wantedBy = [ "multi-user.target" ];
      after = [ "network.target" ];

      serviceConfig = {
        User = "printerfacts";
        Group = "within";
        WorkingDirectory = "/srv/within/printerfacts";
        Restart = "on-failure";
        RestartSec = "2s";
        NoNewPrivileges = true;
      };

      script = ''
        exec ${pkgs.within.printerfacts}/bin/printerfacts \
          --address ${escapeShellArg cfg.address} \
          --port ${toString cfg.port} \
          --facts ${cfg.facts}
      '';
    };

    networking.firewall.allowedTCPPorts = [ cfg.port ];
  };
}
