# Files and directories that systemd-tmpfiles makes: at boot, and again when they change.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.systemd.tmpfiles;
  field =
    default: description:
    mkOption {
      type = types.str;
      inherit default description;
    };
  entry = types.submodule (
    { name, ... }:
    {
      options = {
        type = field name "The kind of line.";
        mode = field "-" "The permissions.";
        user = field "-" "The owner.";
        group = field "-" "The group.";
        age = field "-" "When it is too old.";
        argument = field "" "The rest of the line.";
      };
    }
  );
  line =
    path: e:
    "'${e.type}' '${path}' '${e.mode}' '${e.user}' '${e.group}' '${e.age}' ${e.argument}";
  linesOf = paths: lib.concatLists (lib.mapAttrsToList (path: lib.mapAttrsToList (_: line path)) paths);
  file = name: lines: lib.nameValuePair "tmpfiles.d/${name}.conf" { text = lib.concatLines lines; };
  files =
    lib.mapAttrs' (name: paths: file name (linesOf paths)) cfg.settings
    // lib.listToAttrs [ (file "00-nixos" cfg.rules) ];
in
{
  options.systemd.tmpfiles = {
    rules = mkOption {
      type = types.listOf types.str;
      default = [ ];
      description = "Lines of tmpfiles.d.";
    };
    settings = mkOption {
      type = types.attrsOf (types.attrsOf (types.attrsOf entry));
      default = { };
      description = "Lines of tmpfiles.d by file, path and kind.";
    };
    packages = mkOption {
      type = types.listOf types.package;
      default = [ ];
      description = "Inert: rules that packages bring.";
    };
  };

  config = {
    environment.etc = files // {
      # systemd's own; Debian's would empty /tmp at each switch that changes a rule.
      "tmpfiles.d/tmp.conf".text = ''
        q /tmp 1777 root root 10d
        q /var/tmp 1777 root root 30d
      '';
    };
    systemd.targets.sysinit-reactivation.description = "Reactivate sysinit units";
    systemd.services.systemd-tmpfiles-resetup = {
      description = "Re-setup tmpfiles on a system that is already running.";
      requiredBy = [ "sysinit-reactivation.target" ];
      after = [
        "local-fs.target"
        "systemd-journald.service"
      ];
      before = [
        "sysinit-reactivation.target"
        "shutdown.target"
      ];
      conflicts = [ "shutdown.target" ];
      restartTriggers = lib.mapAttrsToList (_: f: builtins.hashString "sha256" f.text) files;
      unitConfig.DefaultDependencies = false;
      serviceConfig = {
        Type = "oneshot";
        RemainAfterExit = true;
        ExecStart = "${pkgs.systemd}/bin/systemd-tmpfiles --create --remove --exclude-prefix=/dev";
        SuccessExitStatus = "DATAERR CANTCREAT";
      };
    };
  };
}
