# What a system stands on, and what else changes it: to compare with a host that was never
# brought here, and to warn of. What some nixpkgs does not have counts as not said. Nothing
# here may be a password, or the hash of one.
{ config, lib }:
let
  plain = builtins.unsafeDiscardStringContext;

  # Those that build for Nix are nobody's.
  users = lib.filterAttrs (
    name: user: builtins.match "nixbld[0-9]+" name == null && (user.enable or true)
  ) (config.users.users or { });

  # `!` and `*` stand for none (shadow(5)). A file counts, whatever is in it.
  isPassword = text: text != null && builtins.match "[!*].*" text == null && text != "";
  hasPassword =
    user:
    builtins.any isPassword [
      (user.hashedPassword or null)
      (user.password or null)
      (user.initialHashedPassword or null)
      (user.initialPassword or null)
    ]
    || (user.hashedPasswordFile or (user.passwordFile or null)) != null;

  # A line as fstab(5) has it. Options may hold a password, so only their hash is told.
  mountOf =
    line:
    let
      words = builtins.filter (word: builtins.isString word && word != "") (
        builtins.split "[ \t]+" line
      );
      at = builtins.elemAt words;
    in
    if builtins.length words < 4 || lib.hasPrefix "#" line then
      [ ]
    else
      [
        {
          device = at 0;
          place = at 1;
          type = at 2;
          options = builtins.hashString "sha256" (at 3);
        }
      ];
  fstab = config.environment.etc.fstab.text or null;

  # No regex: it overflows on long texts.
  mentions = word: text: builtins.replaceStrings [ word ] [ "" ] text != text;
  textOf =
    value:
    if builtins.isList value then
      lib.concatMapStringsSep " " textOf value
    else if value == null then
      ""
    else
      toString value;

  services = config.systemd.services or { };
  rebuilds =
    name:
    let
      service = services.${name};
      texts = [
        (service.script or "")
        (service.serviceConfig.ExecStart or "")
        (service.preStart or "")
      ];
    in
    services ? ${name} && builtins.any (text: mentions "nixos-rebuild" (plain (textOf text))) texts;
  serviceOf =
    name: timer:
    lib.removeSuffix ".service" (timer.timerConfig.Unit or "${name}.service");
  timers = lib.filterAttrs (
    name: timer:
    # That one is the module's own.
    serviceOf name timer != "nixos-upgrade" && (timer.enable or true) && rebuilds (serviceOf name timer)
  ) (config.systemd.timers or { });
in
{
  stateVersion = plain (config.system.stateVersion or "");
  # A command; its first word is the program.
  loader = plain (toString (config.system.build.installBootLoader or ""));
  mutableUsers = config.users.mutableUsers or true;
  users = builtins.mapAttrs (_: hasPassword) users;
  mounts =
    if fstab == null then null else builtins.concatMap mountOf (lib.splitString "\n" (plain fstab));
  updaters =
    lib.optional (config.system.autoUpgrade.enable or false) "system.autoUpgrade"
    ++ lib.optional (config.services.comin.enable or false) "services.comin"
    ++ map (name: "${name}.timer") (builtins.attrNames timers);
}
