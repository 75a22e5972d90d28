# The library: one attribute set, put together from files by subject. Every file is a
# function of the finished library, so they may use each other freely.
let
  subjects = {
    asserts = import ./asserts.nix lib;
    attrsets = import ./attrsets.nix lib;
    cli = import ./cli.nix lib;
    debug = import ./debug.nix lib;
    customisation = import ./customisation.nix lib;
    fixedPoints = import ./fixed-points.nix lib;
    generators = import ./generators.nix lib;
    licenses = import ./licenses.nix lib;
    lists = import ./lists.nix lib;
    maintainers = import ./maintainers.nix;
    meta = import ./meta.nix lib;
    modules = import ./modules.nix lib;
    options = import ./options.nix lib;
    platforms = import ./platforms.nix;
    sources = import ./sources.nix lib;
    sourceTypes = import ./source-types.nix lib;
    strings = import ./strings.nix lib;
    stringsWithDeps = import ./strings-with-deps.nix lib;
    trivial = import ./trivial.nix lib;
    types = import ./types.nix lib;
    versions = import ./versions.nix lib;
  };

  lib = {
    inherit (builtins)
      add
      addErrorContext
      all
      any
      attrNames
      attrValues
      baseNameOf
      bitAnd
      bitOr
      bitXor
      catAttrs
      concatLists
      concatMap
      concatStringsSep
      deepSeq
      dirOf
      div
      elem
      elemAt
      filter
      fromJSON
      fromTOML
      functionArgs
      genericClosure
      genList
      getAttr
      getContext
      getEnv
      groupBy
      hasAttr
      hasContext
      hashFile
      hashString
      head
      intersectAttrs
      isAttrs
      isBool
      isFloat
      isInt
      isList
      isPath
      isString
      length
      lessThan
      listToAttrs
      mapAttrs
      mul
      parseDrvName
      partition
      pathExists
      placeholder
      readDir
      readFile
      removeAttrs
      replaceStrings
      seq
      sort
      split
      splitVersion
      storeDir
      stringLength
      sub
      substring
      tail
      toJSON
      toPath
      toString
      toXML
      trace
      tryEval
      typeOf
      unsafeDiscardStringContext
      unsafeGetAttrPos
      zipAttrsWith
      ;

    inherit (subjects)
      asserts
      attrsets
      cli
      customisation
      debug
      fixedPoints
      generators
      licenses
      lists
      maintainers
      meta
      options
      platforms
      sources
      sourceTypes
      strings
      stringsWithDeps
      trivial
      types
      versions
      ;

    # `modules` holds more than what belongs at the top level.
    inherit (subjects) modules;
    inherit (subjects.modules)
      defaultOrderPriority
      defaultOverridePriority
      defaultPriority
      evalModules
      evalOptionValue
      filterOverrides
      fixMergeModules
      fixupOptionType
      importApply
      mergeAttrDefinitionsWithPrio
      mergeDefinitions
      mkAfter
      mkAliasAndWrapDefinitions
      mkAliasDefinitions
      mkAliasIfDef
      mkAliasOptionModule
      mkAssert
      mkBefore
      mkChangedOptionModule
      mkDefault
      mkDefinition
      mkDerivedConfig
      mkForce
      mkIf
      mkImageMediaOverride
      mkMerge
      mkMergedOptionModule
      mkOptionDefault
      mkOrder
      mkOverride
      mkRemovedOptionModule
      mkRenamedOptionModule
      mkRenamedOptionModuleWith
      mkVMOverride
      pushDownProperties
      setDefaultModuleLocation
      sortProperties
      ;
    systems = import ./systems.nix lib;
    inherit (subjects.modules) dischargeProperties;
    inherit (subjects.sources) filesystem;
  }
  // subjects.asserts
  // subjects.attrsets
  // subjects.customisation
  // subjects.debug
  // subjects.fixedPoints
  // subjects.lists
  // subjects.meta
  // subjects.options
  // subjects.sources
  // subjects.strings
  // subjects.stringsWithDeps
  // subjects.trivial
  // {
    inherit (subjects.modules) doRename;
    inherit (subjects.types)
      isType
      isOptionType
      mkOptionType
      setType
      ;

    # `(lib.extend (final: prev: { … }))` gives a library with more in it.
    extend = overlay: lib // overlay (lib.extend overlay) lib;
  };
in
lib
