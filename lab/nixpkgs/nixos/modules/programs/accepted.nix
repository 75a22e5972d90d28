# Programs that hosts turn on for people: accepted and inert but for the package, if there
# is one of that name.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  names = [
    "bash"
    "command-not-found"
    "fish"
    "git"
    "gnupg"
    "htop"
    "less"
    "mosh"
    "mtr"
    "nano"
    "nix-ld"
    "screen"
    "tmux"
    "vim"
    "zsh"
  ];
  enabled = builtins.filter (name: config.programs.${name}.enable) names;
in
{
  options.programs = lib.genAttrs names (
    _:
    lib.mkOption {
      type = lib.types.submodule {
        freeformType = lib.types.attrsOf lib.types.anything;
        options.enable = lib.mkOption {
          type = lib.types.bool;
          default = false;
          description = "Whether the package, if the set has it, is installed.";
        };
      };
      default = { };
      description = "Accepted and inert but for `enable`.";
    }
  );
  config.environment.systemPackages = map (name: pkgs.${name}) (
    builtins.filter (name: pkgs ? ${name}) enabled
  );
}
