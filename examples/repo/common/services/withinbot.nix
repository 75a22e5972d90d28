# The chat bot. It listens on a socket, one line in, one line out:
#
#   $ withinbot ask '~printerfact'
{ config, lib, pkgs, ... }:

with lib;

let
  cfg = config.within.services.withinbot;
in
{
  options.within.services.withinbot = {
    enable = mkEnableOption "the chat bot";

    name = mkOption {
      type = types.str;
      default = "withinbot";
      description = "What the bot calls itself.";
    };

    greeting = mkOption {
      type = types.str;
      default = "Hello, I am {name} on ${config.networking.hostName}. Say {prefix}help.";
      defaultText = literalExpression
        ''"Hello, I am {name} on ''${config.networking.hostName}. Say {prefix}help."'';
      description = ''
        The first line that somebody who connects is sent; `{name}` and `{prefix}` are
        filled in.
      '';
    };

    prefix = mkOption {
      type = types.str;
      default = "~";
      description = "What the lines that the bot answers begin with.";
    };

    socket = mkOption {
      type = types.str;
      default = "/run/withinbot/withinbot.sock";
      description = "The Unix socket to listen on.";
    };

    facts = mkOption {
      type = types.path;
      default = pkgs.within.facts;
      defaultText = literalExpression "pkgs.within.facts";
      description = "A text file with one fact to a line.";
    };
  };

  config = mkIf cfg.enable {
    # Settings which do not belong in the world-readable Nix store, as `NAME=value`
    # lines. `WITHINBOT_TOKEN` is the password with which people may teach the bot.
    deployment.keys.withinbot = {
      text = builtins.readFile ./secrets/withinbot.env;
      user = "withinbot";
      group = "within";
      permissions = "0400";
    };

    users.users.withinbot = {
      isSystemUser = true;
      createHome = true;
      description = "chat bot";
      home = "/srv/within/withinbot";
      group = "within";
    };

    systemd.services.withinbot = {
      description = "Chat bot";
      wantedBy = [ "multi-user.target" ];

      # It waits for its key, and starts anew with another one.
      after = [ "withinbot-key.service" ];
      wants = [ "withinbot-key.service" ];
      partOf = [ "withinbot-key.service" ];

      environment = {
        WITHINBOT_NAME = cfg.name;
        WITHINBOT_GREETING = cfg.greeting;
        WITHINBOT_PREFIX = cfg.prefix;
        WITHINBOT_SOCKET = cfg.socket;
        WITHINBOT_FACTS = "${cfg.facts}";
      };

      serviceConfig = {
        User = "withinbot";
        Group = "within";
        WorkingDirectory = "/srv/within/withinbot";
        RuntimeDirectory = "withinbot";
        SupplementaryGroups = [ "keys" ];
        EnvironmentFile = "/run/keys/withinbot";
        Restart = "always";
        RestartSec = "2s";
        NoNewPrivileges = true;
      };

      script = ''
        exec ${pkgs.within.withinbot}/bin/withinbot serve
      '';
    };
  };
}
