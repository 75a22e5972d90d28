# Secrets that the host decrypts itself, by sops-nix and agenix: which file, for whom, and
# with which of its keys. Nothing here is the content of one. What does not evaluate by
# itself is left out: the system tells of that.
{ config, lib }:
let
  # What tryEval does not catch must not happen: these may be another module's options.
  isPlain = value: builtins.isString value || builtins.isPath value || builtins.isInt value;
  plain = value: if isPlain value then builtins.unsafeDiscardStringContext (toString value) else "";
  asSet = value: if builtins.isAttrs value then value else { };
  asList = value: if builtins.isList value then value else [ ];

  hostKeys = asList (config.services.openssh.hostKeys or [ ]);

  # The types of these keys; none where one of them is not the SSH server's, so that nobody
  # here knows it.
  typesOf =
    paths:
    let
      of = path: builtins.filter (key: plain (key.path or "") == plain path) hostKeys;
      found = map of (asList paths);
    in
    if builtins.any (keys: keys == [ ]) found then
      [ ]
    else
      map (keys: plain ((builtins.head keys).type or "")) found;

  sops = config.sops or { };
  age = config.age or { };

  # Only where SSH keys are all that it has to decrypt with.
  others = [
    (sops.age.keyFile or null)
    (sops.gnupg.home or null)
  ];
  # The module itself says which gpg it is.
  variables = builtins.removeAttrs (asSet (sops.environment or { })) [ "SOPS_GPG_EXEC" ];
  moreOf = variables != { } || (sops.age.plugins or [ ]) != [ ];
  ofSops = {
    tool = "sops-nix";
    readers =
      if moreOf || builtins.any (one: one != null) others then
        [ ]
      else
        typesOf (sops.age.sshKeyPaths or [ ]);
    pgp = (sops.gnupg.sshKeyPaths or [ ]) != [ ];
  };
  ofAgenix = {
    tool = "agenix";
    readers = typesOf (age.identityPaths or [ ]);
    pgp = false;
  };

  # The link that leads to the newest generation, if the activation script makes a new one
  # each time. A unit does so only when it changes.
  renewedBy =
    snippet: link: if config.system.activationScripts or { } ? ${snippet} then plain link else "";

  nameOr =
    name: id:
    if name != null then
      plain name
    else if id != null then
      plain id
    else
      "0";

  sopsSecret = name: secret: {
    inherit name;
    file = plain (secret.sopsFile or "");
    path = plain (secret.path or "/run/secrets/${name}");
    user = nameOr (secret.owner or null) (secret.uid or 0);
    group = nameOr (secret.group or null) (secret.gid or 0);
    mode = plain (secret.mode or "0400");
    renewed =
      if secret.neededForUsers or false == true then
        renewedBy "setupSecretsForUsers" "/run/secrets-for-users"
      else
        renewedBy "setupSecrets" "/run/secrets";
  };
  agenixSecret = name: secret: {
    inherit name;
    file = plain (secret.file or "");
    path = plain (secret.path or "/run/agenix/${name}");
    user = plain (secret.owner or "0");
    group = plain (secret.group or "0");
    mode = plain (secret.mode or "0400");
    renewed = renewedBy "agenixInstall" (age.secretsDir or "/run/agenix");
  };

  tried =
    value:
    let
      found = builtins.tryEval (builtins.deepSeq value value);
    in
    lib.optional found.success found.value;

  secretsOf =
    common: factsOf: secrets:
    builtins.concatMap (name: tried (common // factsOf name secrets.${name})) (
      builtins.attrNames (asSet secrets)
    );
in
secretsOf ofSops sopsSecret (sops.secrets or { })
++ secretsOf ofAgenix agenixSecret (age.secrets or { })
