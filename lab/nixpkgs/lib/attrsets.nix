lib:
let
  inherit (builtins)
    attrNames
    attrValues
    concatMap
    foldl'
    head
    isAttrs
    length
    listToAttrs
    mapAttrs
    tail
    ;
in
rec {
  inherit (builtins)
    attrNames
    attrValues
    catAttrs
    getAttr
    hasAttr
    intersectAttrs
    listToAttrs
    mapAttrs
    removeAttrs
    zipAttrsWith
    ;

  nameValuePair = name: value: { inherit name value; };
  mapAttrs' = f: set: listToAttrs (mapAttrsToList f set);
  mapAttrsToList = f: set: attrValues (mapAttrs f set);
  attrsToList = mapAttrsToList nameValuePair;
  concatMapAttrs = f: set: foldl' (a: b: a // b) { } (mapAttrsToList f set);
  genAttrs = names: f: genAttrs' names (n: nameValuePair n (f n));
  genAttrs' = xs: f: listToAttrs (map f xs);
  filterAttrs =
    p: set: removeAttrs set (builtins.filter (name: !p name set.${name}) (attrNames set));
  filterAttrsRecursive =
    p: set:
    mapAttrs (_: v: if isAttrs v then filterAttrsRecursive p v else v) (filterAttrs p set);
  foldAttrs =
    op: nul: sets:
    mapAttrs (_: values: lib.foldr op nul values) (builtins.zipAttrsWith (_: vs: vs) sets);
  foldlAttrs =
    f: init: set:
    foldl' (acc: name: f acc name set.${name}) init (attrNames set);
  collect =
    p: set:
    if p set then
      [ set ]
    else if isAttrs set then
      concatMap (collect p) (attrValues set)
    else
      [ ];
  cartesianProduct =
    sets:
    foldl' (
      products: name: concatMap (product: map (value: product // { ${name} = value; }) sets.${name}) products
    ) [ { } ] (attrNames sets);
  cartesianProductOfSets = cartesianProduct;
  getAttrs = names: set: lib.genAttrs names (name: set.${name});
  attrVals = names: set: map (name: set.${name}) names;
  optionalAttrs = condition: set: if condition then set else { };
  zipAttrs = builtins.zipAttrsWith (_: values: values);
  zipAttrsWithNames =
    names: f: sets:
    genAttrs names (name: f name (builtins.catAttrs name sets));
  zip = zipAttrsWith;
  mergeAttrsList = foldl' (a: b: a // b) { };
  unionOfDisjoint =
    a: b:
    let
      clashes = builtins.intersectAttrs a b;
      names = toString (attrNames clashes);
      masked = mapAttrs (
        name: _: throw "unionOfDisjoint: collision on ${name}; complete list: ${names}"
      ) clashes;
    in
    (a // b) // masked;

  attrByPath =
    path: default: set:
    if path == [ ] then
      set
    else if set ? ${head path} then
      attrByPath (tail path) default set.${head path}
    else
      default;
  hasAttrByPath =
    path: set:
    path == [ ] || (set ? ${head path} && hasAttrByPath (tail path) set.${head path});
  getAttrFromPath =
    path: attrByPath path (throw "cannot find attribute '${lib.showAttrPath path}'");
  longestValidPathPrefix =
    path: set:
    let
      sizes = lib.reverseList (lib.range 0 (length path));
    in
    lib.findFirst (prefix: hasAttrByPath prefix set) [ ] (map (n: lib.take n path) sizes);
  setAttrByPath =
    path: value: if path == [ ] then value else { ${head path} = setAttrByPath (tail path) value; };
  showAttrPath =
    path:
    if path == [ ] then
      "<root attribute path>"
    else
      lib.concatMapStringsSep "." lib.strings.escapeNixIdentifier path;

  updateManyAttrsByPath =
    updates: set:
    foldl' (
      acc: { path, update }: recursiveUpdateAt path update acc
    ) set updates;
  recursiveUpdateAt =
    path: update: set:
    if path == [ ] then
      update set
    else
      set // { ${head path} = recursiveUpdateAt (tail path) update (set.${head path} or { }); };

  recursiveUpdateUntil =
    stop: left: right:
    let
      go =
        path:
        builtins.zipAttrsWith (
          name: values:
          let
            here = path ++ [ name ];
          in
          if length values == 1 || stop here (builtins.elemAt values 1) (head values) then
            head values
          else
            go here values
        );
    in
    # The right one first, so that `head values` is the one that wins.
    go [ ] [ right left ];
  recursiveUpdate = recursiveUpdateUntil (_: left: right: !(isAttrs left && isAttrs right));
  matchAttrs =
    pattern: set:
    builtins.all (
      name:
      set ? ${name}
      && (
        if isAttrs pattern.${name} then
          isAttrs set.${name} && matchAttrs pattern.${name} set.${name}
        else
          pattern.${name} == set.${name}
      )
    ) (attrNames pattern);

  mapAttrsRecursive = mapAttrsRecursiveCond (_: true);
  mapAttrsRecursiveCond =
    condition: f: set:
    let
      go =
        path:
        mapAttrs (
          name: value:
          if isAttrs value && condition value then go (path ++ [ name ]) value else f (path ++ [ name ]) value
        );
    in
    go [ ] set;
  mapAttrsToListRecursive =
    f: set: mapAttrsToListRecursiveCond (_: _: true) f set;
  mapAttrsToListRecursiveCond =
    condition: f: set:
    let
      go =
        path: value:
        if isAttrs value && (path == [ ] || condition path value) then
          concatMap (name: go (path ++ [ name ]) value.${name}) (attrNames value)
        else
          [ (f path value) ];
    in
    go [ ] set;

  isDerivation = value: value.type or null == "derivation";
  toDerivation =
    path:
    let
      storePath = builtins.storePath path;
    in
    {
      type = "derivation";
      name = lib.strings.sanitizeDerivationName (
        builtins.substring 33 (-1) (builtins.baseNameOf storePath)
      );
      outPath = storePath;
      outputs = [ "out" ];
      out = toDerivation path;
      outputName = "out";
    };

  recurseIntoAttrs = set: set // { recurseForDerivations = true; };
  dontRecurseIntoAttrs = set: set // { recurseForDerivations = false; };

  # This library's packages have the one output `out`.
  getOutput =
    output: pkg: if !pkg ? outputSpecified || !pkg.outputSpecified then pkg.${output} or pkg.out or pkg else pkg;
  getFirstOutput =
    candidates: pkg:
    getOutput (lib.findFirst (output: pkg ? ${output}) "out" candidates) pkg;
  getBin = getOutput "bin";
  getLib = getOutput "lib";
  getDev = getOutput "dev";
  getMan = getOutput "man";
  chooseDevOutputs = map getDev;

}
