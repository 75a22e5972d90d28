# The type of `deployment.keys.<name>`. Errors of the module system quote the values of
# definitions; those of a key are secrets, so every check here is made by hand and names
# only the option and the file.
#
# The text of a key is never looked at while a host is evaluated: a file that it is read
# from may be missing, and that must cost only this key.
{ lib }:
let
  inherit (lib) concatStringsSep mkOption mkOptionType showOption types;

  filesOf = definitions: concatStringsSep ", " (map (d: "`${toString d.file}'") definitions);

  refuse =
    loc: definitions: problem:
    throw "The option `${showOption loc}' ${problem} in ${filesOf definitions} (its value is a secret and not shown)";

  # A type whose errors keep quiet about values.
  secret =
    { description, check }:
    mkOptionType {
      name = "secret";
      inherit description;
      check = _: true;
      merge =
        loc: definitions:
        let
          inherit (builtins.head definitions) value;
        in
        if !builtins.all (d: check d.value) definitions then
          refuse loc definitions "is not ${description}"
        else if !builtins.all (d: d.value == value) definitions then
          refuse loc definitions "has conflicting definitions"
        else
          value;
    };

  isAbsolute =
    value:
    builtins.isPath value
    || (builtins.isString value && builtins.substring 0 1 value == "/")
    || (builtins.isAttrs value && value ? outPath);

  isCommand =
    value:
    builtins.isList value && value != [ ] && builtins.all builtins.isString value;

  contents = {
    text = mkOption {
      type = secret {
        description = "a string or null";
        check = value: value == null || builtins.isString value;
      };
      default = null;
      description = "The key itself.";
    };
    keyFile = mkOption {
      type = secret {
        description = "an absolute path or null";
        check = value: value == null || isAbsolute value;
      };
      default = null;
      # A path that reaches the output would be copied into the store, readable by all.
      apply = value: if value == null then null else toString value;
      description = "The file on the reconciler's machine that holds the key.";
    };
    keyCommand = mkOption {
      type = secret {
        description = "a non-empty list of strings or null";
        check = value: value == null || isCommand value;
      };
      default = null;
      description = "The command on the reconciler's machine that prints the key.";
    };
  };

  plainOptions =
    { name, config }:
    let
      option =
        type: default: description:
        mkOption { inherit type default description; };
    in
    {
      name = option types.str name "Name of the file.";
      destDir = option types.path "/run/keys" "Folder of the file on the host.";
      path = option types.path "${config.destDir}/${config.name}" "The file on the host.";
      user = option types.str "root" "Owner of the file.";
      group = option types.str "root" "Group of the file.";
      permissions = option types.str "0600" "Mode of the file, as chmod takes it.";
      uploadAt =
        option (types.enum [ "pre-activation" "post-activation" ]) "pre-activation"
          "When the file is written.";
      restartUnits =
        option (types.listOf types.str) [ ] "Units to restart when the content changed.";
    };

  module =
    { name, config, ... }:
    {
      options = contents // plainOptions { inherit name config; };
    };

  submodule = types.submodule module;

  known = builtins.attrNames (
    contents
    // plainOptions {
      name = "";
      config = { };
    }
  );

  isModule = value: value ? config || value ? options || value ? imports;

  unknownIn =
    value:
    if builtins.isAttrs value && !isModule value then
      lib.subtractLists (known ++ [ "_file" "_module" "key" ]) (builtins.attrNames value)
    else
      [ ];

  # NixOps 1.7 lets a key be its text.
  expanded =
    definition:
    if builtins.isString definition.value then
      definition // { value.text = definition.value; }
    else
      definition;

  # Whether a definition gives a text, without looking at it: a bare string and a set say
  # so themselves, a module might.
  givesText =
    { value, ... }:
    builtins.isString value || !builtins.isAttrs value || isModule value || value ? text;

  type = mkOptionType {
    name = "key";
    description = "a key";
    check = _: true;
    merge =
      loc: definitions:
      let
        unknown = builtins.concatMap (d: unknownIn d.value) definitions;
      in
      if !builtins.all (d: builtins.isString d.value || submodule.check d.value) definitions then
        refuse loc definitions "is neither a string nor an attribute set"
      else if unknown != [ ] then
        refuse (loc ++ [ (builtins.head unknown) ]) definitions "does not exist"
      else
        submodule.merge loc (map expanded definitions)
        // {
          _givesText = builtins.any givesText definitions;
        };
  };

  # All keys of a host; `attrsOf` alone would quote what is no attribute set.
  keysType = mkOptionType {
    name = "keys";
    description = "attribute set of keys";
    check = _: true;
    merge =
      loc: definitions:
      if builtins.all (d: builtins.isAttrs d.value) definitions then
        (types.attrsOf type).merge loc definitions
      else
        refuse loc definitions "is not an attribute set of keys";
  };

  # The sources of a key. Only beside another one is the text looked at, since it may be
  # null or behind a mkIf.
  sourcesOf =
    key:
    let
      others = builtins.filter (n: key.${n} != null) [ "keyFile" "keyCommand" ];
      # Options of another tool's do not say; then what is not the others is the text.
      hasText = if key ? _givesText then key._givesText && (others == [ ] || key.text != null) else others == [ ];
    in
    others ++ (if hasText then [ "text" ] else [ ]);

  oneSource = name: key: {
    assertion = builtins.length (sourcesOf key) == 1;
    message = "deployment.keys.${name}: exactly one of text, keyFile and keyCommand must be set.";
  };

  # The name is part of a unit's, and of those of store paths.
  isLegalName = name: builtins.match "[A-Za-z0-9_.:@-]{1,150}" name != null;

  legalName = name: {
    assertion = isLegalName name;
    message = "deployment.keys.${builtins.toJSON name}: the name of a key is 1 to 150 letters, digits and `_.:@-`, since its unit is called <name>-key.service; the file can have another `name`.";
  };

  assertionsFor =
    keys:
    builtins.concatMap (name: [
      (legalName name)
      (oneSource name keys.${name})
    ]) (builtins.attrNames keys);

  # What leaves Nix: everything but the text.
  factsOf = key: {
    inherit (key)
      group
      keyCommand
      permissions
      uploadAt
      user
      ;
    # Colmena's option, where it is that, leaves a path a path.
    keyFile = if key.keyFile == null then null else toString key.keyFile;
    restartUnits = key.restartUnits or [ ];
    path = toString key.path;
    source = builtins.head (sourcesOf key);
  };
in
{
  inherit
    assertionsFor
    factsOf
    isLegalName
    keysType
    ;
}
