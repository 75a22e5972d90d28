# bin/switch-to-configuration.
{
  config,
  lib,
  ...
}:
let
  inherit (lib) mkOption types;
  # Where Perl finds the module that the script uses.
  units = builtins.path {
    name = "unit-files";
    path = ./.;
    filter = path: _: baseNameOf path == "UnitFiles.pm";
  };
in
{
  options.system = {
    switch.enable = mkOption {
      type = types.bool;
      default = true;
      description = "Whether the system can be switched to without a reboot.";
    };
    preSwitchChecks = mkOption {
      type = types.attrsOf types.str;
      default = { };
      description = "Code that can refuse a switch; arguments are the new toplevel and the action.";
    };
  };

  config.system.build.preSwitchCheck = lib.concatStrings (
    lib.mapAttrsToList (name: code: ''
      # ${name}
      ( ${code}
      ) || { echo "Pre-switch check '${name}' failed" >&2; exit 1; }
    '') config.system.preSwitchChecks
  );
  config.system.systemBuilderCommands = lib.mkIf config.system.switch.enable ''
    mkdir "$out/bin"
    {
        echo '#!/bin/sh'
        echo "export TOPLEVEL=$out"
        echo "export INSTALL_BOOTLOADER=${config.system.build.installBootLoader}"
        echo 'exec /usr/bin/perl -I ${units} ${./switch-to-configuration.pl} "$@"'
    } >"$out/bin/switch-to-configuration"
    cat >"$out/pre-switch-checks" <<'EOF_CHECKS'
    #!/bin/bash
    export PATH=/usr/sbin:/usr/bin:/sbin:/bin
    ${config.system.build.preSwitchCheck}
    EOF_CHECKS
    chmod +x "$out/bin/switch-to-configuration" "$out/pre-switch-checks"
  '';
}
