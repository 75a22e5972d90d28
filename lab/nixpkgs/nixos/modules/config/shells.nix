# Environment variables of login shells: /etc/set-environment, which /etc/profile.d reads.
{
  config,
  lib,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.environment;
  variablesType = types.attrsOf (
    types.either (types.oneOf [
      types.str
      types.path
      types.int
    ]) (types.listOf types.str)
  );
  valueOf = v: if builtins.isList v then lib.concatStringsSep ":" v else toString v;
  export = name: value: "export ${name}=\"${valueOf value}\"";
in
{
  options.environment = {
    variables = mkOption {
      type = variablesType;
      default = { };
      description = "Environment variables of every shell.";
    };
    sessionVariables = mkOption {
      type = variablesType;
      default = { };
      description = "Environment variables of every session.";
    };
    shellAliases = mkOption {
      type = types.attrsOf (types.nullOr types.str);
      default = { };
      description = "Aliases of every interactive shell.";
    };
    shellInit = mkOption {
      type = types.lines;
      default = "";
      description = "Code that every shell runs.";
    };
    loginShellInit = mkOption {
      type = types.lines;
      default = "";
      description = "Code that every login shell runs.";
    };
    interactiveShellInit = mkOption {
      type = types.lines;
      default = "";
      description = "Code that every interactive shell runs.";
    };
    shells = mkOption {
      type = types.listOf (types.either types.shellPackage types.path);
      default = [ ];
      description = "Inert: /etc/shells stays the image's.";
    };
    profiles = mkOption {
      type = types.listOf types.str;
      default = [ ];
      description = "Inert: profiles that would be searched for programs.";
    };
  };

  config.environment.etc."set-environment".text = lib.concatLines (
    lib.mapAttrsToList export (cfg.variables // cfg.sessionVariables)
  );
  # The image's /etc/profile reads every file of this directory.
  config.environment.etc."profile.d/nixos.sh".text = ''
    . /etc/set-environment
    export PATH="/run/current-system/sw/bin:$PATH"
    ${lib.concatLines (
      lib.mapAttrsToList (name: value: "alias -- ${name}=${lib.escapeShellArg value}") (
        lib.filterAttrs (_: value: value != null) cfg.shellAliases
      )
    )}${cfg.shellInit}
    ${cfg.loginShellInit}
    ${cfg.interactiveShellInit}
  '';
}
