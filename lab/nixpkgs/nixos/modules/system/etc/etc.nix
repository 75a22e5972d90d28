# /etc: a tree of links in the store, /etc/static, and a link into it for every file.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;

  entry = types.submodule (
    {
      name,
      config,
      options,
      ...
    }:
    {
      options = {
        enable = mkOption {
          type = types.bool;
          default = true;
          description = "Whether the file is there.";
        };
        target = mkOption {
          type = types.str;
          default = name;
          description = "The file's name, below /etc.";
        };
        text = mkOption {
          type = types.nullOr types.lines;
          default = null;
          description = "What the file holds.";
        };
        source = mkOption {
          type = types.path;
          description = "What the file links to, or is a copy of.";
        };
        mode = mkOption {
          type = types.str;
          default = "symlink";
          description = "`symlink`, `direct-symlink`, or the permissions of a copy.";
        };
        uid = mkOption {
          type = types.int;
          default = 0;
          description = "The owner of a copy.";
        };
        gid = mkOption {
          type = types.int;
          default = 0;
          description = "The group of a copy.";
        };
        user = mkOption {
          type = types.str;
          default = "+${toString config.uid}";
          defaultText = "the uid";
          description = "The owner of a copy, by name or `+number`.";
        };
        group = mkOption {
          type = types.str;
          default = "+${toString config.gid}";
          defaultText = "the gid";
          description = "The group of a copy, by name or `+number`.";
        };
      };
      config.source = lib.mkIf (config.text != null) (
        lib.mkDerivedConfig options.text (pkgs.writeText ("etc-" + baseNameOf name))
      );
    }
  );

  entries = builtins.filter (file: file.enable) (builtins.attrValues config.environment.etc);
  isCopy = file: file.mode != "symlink";
  # One line for each: the source goes in as it is, so that the derivation depends on it.
  link =
    file:
    let
      target = lib.escapeShellArg file.target;
    in
    "put ${lib.escapeShellArg "${file.source}"} ${target}"
    + lib.optionalString (isCopy file) " ${file.mode} ${lib.escapeShellArg file.user} ${lib.escapeShellArg file.group}";

  clashes = lib.filterAttrs (_: files: builtins.length files > 1) (
    builtins.groupBy (file: file.target) entries
  );
in
{
  options.environment.etc = mkOption {
    type = types.attrsOf entry;
    default = { };
    description = "Files in /etc.";
  };

  config = {
    assertions = lib.mapAttrsToList (target: _: {
      assertion = false;
      message = "environment.etc: several entries have the target `${target}'.";
    }) clashes;

    system.build.etc = derivation {
      name = "etc";
      inherit (pkgs) system;
      builder = "/bin/sh";
      PATH = "/usr/bin:/bin";
      passAsFile = [ "script" ];
      args = [
        "-ec"
        ". \"$scriptPath\""
      ];
      script = ''
        put() {
            case $2 in */*) mkdir -p "$out/etc/''${2%/*}" ;; esac
            ln -s "$1" "$out/etc/$2"
            [ $# = 2 ] || printf '%s\n' "$3" "$4" "$5" >"$out/etc/$2.mode"
        }
        mkdir -p "$out/etc"
        ${lib.concatMapStringsSep "\n" link entries}
      '';
    };

    system.activationScripts.etc = lib.stringAfter [ "users" "groups" ] ''
      echo "setting up /etc..."
      /usr/bin/perl ${./setup-etc.pl} ${config.system.build.etc}/etc
    '';
  };
}
