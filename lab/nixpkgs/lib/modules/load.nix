# From what people write as a module (a path, a function, a set in its long or its short
# form) to modules of one shape, with everything they import and without what they disable.
lib:
let
  inherit (builtins)
    attrNames
    elem
    head
    isAttrs
    isList
    isString
    ;
  unknownModule = "<unknown-file>";

  # A module function gets the special arguments and, for every other name it asks for,
  # what `_module.args` will hold: lazily, so that options may define it.
  applyIfFunction =
    key: module: args:
    if lib.isFunction module then
      let
        context = name: ''while evaluating the module argument `${name}' in "${key}":'';
        asked = builtins.mapAttrs (
          name: _: builtins.addErrorContext (context name) (args.${name} or args.config._module.args.${name})
        ) (lib.functionArgs module);
      in
      module (args // asked)
    else
      module;

  longForm = [
    "_class"
    "_file"
    "config"
    "disabledModules"
    "freeformType"
    "imports"
    "key"
    "meta"
    "options"
  ];

  withMeta = meta: config: lib.mkMerge [ config { inherit meta; } ];
  withFreeformType =
    freeformType: config:
    lib.mkMerge [
      config
      { _module.freeformType = freeformType; }
    ];
  addMeta =
    module: config:
    let
      first = if module ? meta then withMeta module.meta config else config;
    in
    if module ? freeformType then withFreeformType module.freeformType first else first;

  unifyModuleSyntax =
    file: key: module:
    if !isAttrs module then
      throw "module ${file} (${key}) does not look like a module."
    else if module ? config || module ? options then
      let
        unexpected = attrNames (removeAttrs module longForm);
      in
      if unexpected != [ ] then
        throw "Module `${key}' has an unsupported attribute `${head unexpected}'. This is caused by introducing a top-level `config' or `options' attribute. Add configuration attributes immediately on the top level instead, or move all of them (namely: ${toString unexpected}) into the explicit `config' attribute."
      else
        {
          _file = toString module._file or file;
          _class = module._class or null;
          key = toString module.key or key;
          disabledModules = module.disabledModules or [ ];
          imports = module.imports or [ ];
          options = module.options or { };
          config = addMeta module (module.config or { });
        }
    else
      {
        _file = toString module._file or file;
        _class = module._class or null;
        key = toString module.key or key;
        disabledModules = module.disabledModules or [ ];
        imports = module.require or [ ] ++ module.imports or [ ];
        options = { };
        config = addMeta (removeAttrs module [ "meta" ]) (
          removeAttrs module [
            "_class"
            "_file"
            "disabledModules"
            "freeformType"
            "imports"
            "key"
            "require"
          ]
        );
      };

  loadModule =
    args: class: fallbackFile: fallbackKey: module:
    if lib.isFunction module then
      unifyModuleSyntax fallbackFile fallbackKey (applyIfFunction fallbackKey module args)
    else if isAttrs module then
      if module._type or "module" == "module" then
        unifyModuleSyntax fallbackFile fallbackKey module
      else if elem module._type [ "if" "override" ] then
        loadModule args class fallbackFile fallbackKey { config = module; }
      else
        throw (notAModule args fallbackFile module)
    else if isList module then
      throw "Module imports can't be nested lists. Perhaps you meant to remove one level of lists? Definitions: ${
        lib.showDefs [
          {
            file = fallbackFile;
            value = module;
          }
        ]
      }"
    else
      let
        path = toString module;
      in
      unifyModuleSyntax path path (applyIfFunction path (import module) args);

  notAModule =
    args: file: value:
    "Expected a module, but found a value of type \"${value._type}\"${
      lib.optionalString (file != unknownModule) ", while trying to import it in ${file}"
    }${lib.optionalString (args._prefix != [ ]) ", for ${lib.showOption args._prefix}"}.";

  checkClass =
    class: module:
    if class == null || module._class == null || module._class == class then
      module
    else
      throw "The module `${module._file}` (class: ${lib.strings.escapeNixString module._class}) cannot be imported into a module evaluation that expects class ${lib.strings.escapeNixString class}.";

  disabledKey =
    modulesPath: file: item:
    if isString item then
      if lib.hasPrefix "/" item then item else toString modulesPath + "/" + item
    else if lib.strings.isConvertibleWithToString item then
      toString item
    else if item ? key then
      item.key
    else if isAttrs item then
      throw "Module `${file}` contains a disabledModules item that is an attribute set, presumably a module, that does not have a `key` attribute. This means that the module system doesn't have any means to identify the module that should be disabled. Make sure that you've put the correct value in disabledModules: a string path relative to modulesPath, a path value, or an attribute set with a `key` attribute."
    else
      throw "Each disabledModules item must be a path, string, or a attribute set with a key attribute, or a value supported by toString. However, one of the disabledModules items in `${file}` is none of that, but is of type ${builtins.typeOf item}.";

  # A module with the trees of what it imports.
  loadTree =
    args: class: parentFile: parentKey: modules:
    lib.imap1 (
      n: written:
      let
        module = checkClass class (
          loadModule args class parentFile "${parentKey}:anon-${toString n}" written
        );
      in
      {
        inherit (module) key;
        inherit module;
        children = loadTree args class module._file module.key module.imports;
      }
    ) modules;

  disabledIn =
    modulesPath: trees:
    builtins.concatMap (
      tree:
      map (disabledKey modulesPath tree.module._file) tree.module.disabledModules
      ++ disabledIn modulesPath tree.children
    ) trees;
in
{
  inherit unknownModule unifyModuleSyntax;

  # Each module once, those that were listed before those that they import.
  collect =
    class: modulesPath: modules: args:
    let
      trees = loadTree args class unknownModule "" modules;
      disabled = disabledIn modulesPath trees;
      wanted = builtins.filter (tree: !(elem tree.key disabled));
    in
    map (tree: tree.module) (
      builtins.genericClosure {
        startSet = wanted trees;
        operator = tree: wanted tree.children;
      }
    );

  setDefaultModuleLocation = file: module: {
    _file = file;
    imports = [ module ];
  };
  importApply = file: argument: {
    _file = file;
    imports = [ (import file argument) ];
  };
}
