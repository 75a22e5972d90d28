# sudo: the machine's, with /etc/sudoers of our own.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.security.sudo;
  rule = types.submodule {
    options = {
      users = mkOption {
        type = types.listOf (types.either types.str types.int);
        default = [ ];
        description = "Who may.";
      };
      groups = mkOption {
        type = types.listOf (types.either types.str types.int);
        default = [ ];
        description = "Whose members may.";
      };
      host = mkOption {
        type = types.str;
        default = "ALL";
        description = "On which host.";
      };
      runAs = mkOption {
        type = types.str;
        default = "ALL:ALL";
        description = "As whom.";
      };
      commands = mkOption {
        type = types.listOf (types.either types.str (types.attrsOf types.anything));
        default = [ ];
        description = "What.";
      };
    };
  };
  commandText =
    c:
    if builtins.isString c then
      c
    else
      lib.concatMapStrings (option: "${option}:") (c.options or [ ]) + " ${c.command}";
  ruleLine =
    r:
    let
      who = map toString r.users ++ map (g: "%${toString g}") r.groups;
    in
    lib.concatMapStrings (
      w: "${w} ${r.host}=(${r.runAs}) ${lib.concatMapStringsSep ", " commandText r.commands}\n"
    ) who;
in
{
  options.security.sudo = {
    enable = mkOption {
      type = types.bool;
      default = true;
      description = "Whether /etc/sudoers is written.";
    };
    wheelNeedsPassword = mkOption {
      type = types.bool;
      default = true;
      description = "Whether members of wheel give their password.";
    };
    execWheelOnly = mkOption {
      type = types.bool;
      default = false;
      description = "Inert: sudo is the machine's.";
    };
    extraRules = mkOption {
      type = types.listOf rule;
      default = [ ];
      description = "Further rules.";
    };
    extraConfig = mkOption {
      type = types.lines;
      default = "";
      description = "Further lines.";
    };
  };
  config.environment.etc.sudoers = lib.mkIf cfg.enable {
    mode = "0440";
    text = ''
      root ALL=(ALL:ALL) SETENV: ALL
      %wheel ALL=(ALL:ALL) ${lib.optionalString (!cfg.wheelNeedsPassword) "NOPASSWD:"}SETENV: ALL
      ${lib.concatMapStrings ruleLine cfg.extraRules}
      ${cfg.extraConfig}
    '';
  };
}
