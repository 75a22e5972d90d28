# What system-manager makes of hosts that are not NixOS: the output `systemConfigs`.
#   systemConfigs.<name>             a system
#   systemConfigs.<platform>.<name>  the same; a name that several platforms have, or that
#                                    is there without one too, is `<name>.<platform>` here
# What is given for each is shaped like a NixOS, so that the same is asked of both: the
# toplevel is the output itself, whose assertions throw, and the units are those that it
# activates.
{ configs }:
let
  isPlatform = name: builtins.match "[a-z0-9_]+-(linux|darwin)" name != null && isKnown name;
  isKnown =
    name:
    builtins.elem (builtins.head (builtins.split "-" name)) [
      "aarch64"
      "armv6l"
      "armv7l"
      "i686"
      "loongarch64"
      "powerpc64le"
      "riscv64"
      "s390x"
      "x86_64"
    ];

  names = builtins.attrNames configs;
  platforms = builtins.filter isPlatform names;
  plain = builtins.filter (name: !isPlatform name) names;
  having = name: builtins.filter (platform: configs.${platform} ? ${name}) platforms;
  isSeveral = name: builtins.elem name plain || builtins.length (having name) > 1;
  called = platform: name: if isSeveral name then "${name}.${platform}" else name;

  places =
    map (name: {
      inherit name;
      value = {
        path = "systemConfigs.${name}";
        value = configs.${name};
      };
    }) plain
    ++ builtins.concatMap (
      platform:
      map (name: {
        name = called platform name;
        value = {
          path = "systemConfigs.${platform}.${name}";
          value = configs.${platform}.${name};
        };
      }) (builtins.attrNames configs.${platform})
    ) platforms;
  all = builtins.listToAttrs places;

  # As its own modules/systemd.nix links them.
  target =
    name: if name == "multi-user.target" || name == "timers.target" then "system-manager.target" else name;
  unitOf =
    unit:
    unit
    // {
      aliases = [ ];
      wantedBy = map target (unit.wantedBy or [ ]);
      requiredBy = map target (unit.requiredBy or [ ]);
      # Such links it does not make.
      upheldBy = [ ];
    };
  masked = name: {
    inherit name;
    value.enable = false;
  };

  nodeOf =
    { path, value }:
    let
      inherit (value) config;
      inherit (config.nixpkgs) pkgs;
      inherit (pkgs) lib;
      enabled = lib.filterAttrs (_: unit: unit.enable or true) config.systemd.units;
    in
    # What throws there is an assertion: it says most.
    if !(builtins.isAttrs value && value ? outPath && value ? config.build.services) then
      throw "${path} is a ${builtins.typeOf value} and no system as system-manager.lib.makeSystemConfig makes it"
    else
      {
        inherit lib pkgs;
        kind = "system-manager";
        config = config // {
          # Its release 1.0 has no such options.
          system = (config.system or { }) // {
            build.toplevel = value;
          };
          systemd = config.systemd // {
            units =
              lib.mapAttrs (_: unitOf) enabled
              // builtins.listToAttrs (map masked (config.systemd.maskedUnits or [ ]));
          };
        };
      };
in
{
  names = builtins.attrNames all;
  has = name: all ? ${name};
  node = name: nodeOf all.${name};
}
