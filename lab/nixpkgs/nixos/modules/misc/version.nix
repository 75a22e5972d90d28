{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.system.nixos;
in
{
  options.system = {
    stateVersion = mkOption {
      type = types.str;
      default = cfg.release;
      defaultText = lib.literalExpression "config.system.nixos.release";
      description = "The release whose defaults for stateful data the system keeps.";
    };
    configurationRevision = mkOption {
      type = types.nullOr types.str;
      default = null;
      description = "The commit that the system was made of.";
    };
    nixos = {
      release = mkOption {
        type = types.str;
        readOnly = true;
        default = lib.trivial.release;
        description = "The release.";
      };
      version = mkOption {
        type = types.str;
        default = "${cfg.release}${cfg.versionSuffix}";
        defaultText = "the release and its suffix";
        internal = true;
        description = "The full version.";
      };
      versionSuffix = mkOption {
        type = types.str;
        default = "";
        internal = true;
        description = "What comes after the release.";
      };
      label = mkOption {
        type = types.strMatching "[a-zA-Z0-9:_\\.-]*";
        default = builtins.concatStringsSep "-" (lib.sort lib.lessThan cfg.tags ++ [ cfg.version ]);
        defaultText = "the tags and the version";
        description = "What a boot menu would show, part of the toplevel's name.";
      };
      tags = mkOption {
        type = types.listOf types.str;
        default = [ ];
        description = "Words to put before the version in the label.";
      };
      codeName = mkOption {
        type = types.str;
        readOnly = true;
        default = lib.trivial.codeName;
        description = "The release's name.";
      };
      distroId = mkOption {
        type = types.str;
        default = "nixos";
        internal = true;
        description = "The ID in os-release.";
      };
    };
  };

  config.environment.etc."os-release".text = ''
    NAME=NixOS
    ID=${cfg.distroId}
    VERSION="${cfg.version} (${cfg.codeName})"
    VERSION_CODENAME=${lib.toLower cfg.codeName}
    VERSION_ID="${cfg.release}"
    BUILD_ID="${cfg.version}"
    PRETTY_NAME="NixOS ${cfg.release} (${cfg.codeName})"
  '';
}
