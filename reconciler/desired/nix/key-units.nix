# `<name>-key.service` for each key, as users of NixOps and Colmena know it: it is
# activating until the key is there, active while it is, and starts over when it goes.
# Nobody starts it but the services that want it.
{ config, lib, pkgs, ... }:
let
  inherit (import ./keys.nix { inherit lib; }) isLegalName;

  # An illegal name is told by an assertion, whose message a wrong unit would forestall.
  keys = lib.filterAttrs (name: _: isLegalName name) config.deployment.keys;

  inotifywait = "${pkgs.inotify-tools}/bin/inotifywait";
  stat = "${pkgs.coreutils}/bin/stat";
  quote = lib.escapeShellArg;

  # What inotifywait says only wakes the loop; what is on the disk decides. So nothing
  # that happens before the watch stands is lost, and without a watch (no such folder
  # yet, no watches left) the loop still looks once a second.
  watching = target: events: ''
    exec 3< <(exec ${inotifywait} --monitor --format . ${events} -- ${target} 2>&1)
    next() { read -r -t 30 _ <&3 || [ $? -gt 128 ] || sleep 1; }
  '';

  waiting = path: ''
    path=${quote path}
    ${watching "\"\${path%/*}/\"" "-e create -e moved_to"}
    until [ -e "$path" ]; do next; done
  '';

  # A file that another one took the place of is another key. `attrib` tells of a file
  # that was removed while a program still has it open.
  staying = path: ''
    path=${quote path}
    identity() { ${stat} --format %d:%i -- "$path" 2>/dev/null || echo gone; }
    first=$(identity)
    ${watching "\"$path\"" "-e delete_self -e move_self -e attrib -e unmount"}
    while [ "$first" != gone ] && [ "$(identity)" = "$first" ]; do next; done
  '';

  unitOf = name: key: {
    name = "${name}-key";
    # A unit of this name that the configuration has already takes the place of ours.
    value = lib.mkOverride 1400 {
      description = "Key ${name}";
      preStart = waiting key.path;
      script = staying key.path;
      unitConfig.StartLimitIntervalSec = 0;
      serviceConfig = {
        TimeoutStartSec = "infinity";
        Restart = "always";
        RestartSec = "100ms";
      };
    };
  };

  # What is delivered after the activation must not be waited for during it.
  early = lib.filterAttrs (_: key: key.uploadAt == "pre-activation") keys;
  unitNames = map (name: "${name}-key.service") (builtins.attrNames early);
in
{
  config = lib.mkIf (keys != { }) {
    systemd.services = lib.mapAttrs' unitOf keys;
    systemd.targets.keys = {
      wants = unitNames;
      after = unitNames;
    };
  };
}
