# What clan's own command does besides switching, and nobody here: for people. Where its
# store is sops, the host decrypts most itself (secrets.nix).
{ config, lib }:
let
  core = config.clan.core or { };
  generators = core.vars.generators or { };
  store = core.vars.settings.secretStore or "sops";

  # `sops` uploads what is needed before it decrypts, `age` likewise; others all.
  phases = {
    sops = [ "activation" ];
    age = [ "activation" ];
  };
  isUploaded =
    file:
    (file.secret or true)
    && (file.deploy or true)
    && (!(phases ? ${store}) || builtins.elem (file.neededFor or "services") phases.${store})
    && (file.neededFor or "services") != "partitioning";
  ofGenerator =
    name:
    map (file: "${name}/${file}") (
      builtins.attrNames (lib.filterAttrs (_: isUploaded) (generators.${name}.files or { }))
    );
  uploaded = builtins.concatMap ofGenerator (builtins.attrNames generators);
  machine = core.settings.machine.name or "";
in
lib.optional (builtins.isAttrs generators && uploaded != [ ])
  "clan's vars ${lib.concatStringsSep ", " uploaded} are brought to the host by `clan vars upload ${machine}` alone, and not from here: run it when they change"
++ lib.optional (core.deployment.requireExplicitUpdate or false)
  "clan.core.deployment.requireExplicitUpdate keeps it from `clan machines update`, not from here: reconciler hold, or repository.exclude, does"
