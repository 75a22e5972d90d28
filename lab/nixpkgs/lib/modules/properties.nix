# Properties wrap a value and say something about it: a condition, a priority, an order.
lib: rec {
  mkIf = condition: content: {
    _type = "if";
    inherit condition content;
  };
  mkAssert =
    assertion: message:
    mkIf (if assertion then true else throw "\nFailed assertion: ${message}");
  mkMerge = contents: {
    _type = "merge";
    inherit contents;
  };
  mkOverride = priority: content: {
    _type = "override";
    inherit priority content;
  };
  mkOrder = priority: content: {
    _type = "order";
    inherit priority content;
  };
  mkDefinition = args: args // { _type = "definition"; };

  # Lower numbers win.
  mkOptionDefault = mkOverride 1500;
  mkDefault = mkOverride 1000;
  defaultOverridePriority = 100;
  defaultPriority = defaultOverridePriority;
  mkImageMediaOverride = mkOverride 60;
  mkForce = mkOverride 50;
  mkVMOverride = mkOverride 10;
  mkFixStrictness = x: x;
  # Lower numbers come first.
  mkBefore = mkOrder 500;
  defaultOrderPriority = 1000;
  mkAfter = mkOrder 1500;

  # A definition around a whole set becomes one around each of its members, so that a
  # condition may depend on other parts of the configuration.
  pushDownProperties =
    value:
    let
      onMembers = wrap: v: if builtins.isAttrs v then builtins.mapAttrs (_: wrap) v else v;
      kind = value._type or null;
    in
    if kind == "merge" then
      builtins.concatMap pushDownProperties value.contents
    else if kind == "if" then
      map (onMembers (mkIf value.condition)) (pushDownProperties value.content)
    else if kind == "override" then
      map (onMembers (mkOverride value.priority)) (pushDownProperties value.content)
    else
      [ value ];

  # What is left of a definition once its conditions have been looked at: a list of values.
  dischargeProperties =
    value:
    let
      kind = value._type or null;
    in
    if kind == "merge" then
      builtins.concatMap dischargeProperties value.contents
    else if kind == "if" then
      if !builtins.isBool value.condition then
        throw "‘mkIf’ called with a non-Boolean condition"
      else if value.condition then
        dischargeProperties value.content
      else
        [ ]
    else
      [ value ];

  filterOverrides = defs: (filterOverrides' defs).values;
  # The definitions of the lowest number, unwrapped.
  filterOverrides' =
    defs:
    let
      priorityOf =
        def: if def.value._type or null == "override" then def.value.priority else defaultOverridePriority;
      highestPrio = builtins.foldl' (p: def: lib.min p (priorityOf def)) 9999 defs;
      unwrap =
        def: if def.value._type or null == "override" then def // { value = def.value.content; } else def;
    in
    {
      values = map unwrap (builtins.filter (def: priorityOf def == highestPrio) defs);
      inherit highestPrio;
    };

  sortProperties =
    defs:
    let
      unwrap =
        def:
        if def.value._type or null == "order" then
          def // {
            value = def.value.content;
            inherit (def.value) priority;
          }
        else
          def;
      rank = def: def.priority or defaultOrderPriority;
    in
    builtins.sort (a: b: rank a < rank b) (map unwrap defs);

  mkAliasIfDef = option: mkIf (lib.isOption option && option.isDefined);
  mkAliasDefinitions = mkAliasAndWrapDefinitions lib.id;
  mkAliasAndWrapDefinitions = wrap: option: mkAliasIfDef option (wrap (mkMerge option.definitions));
  mkAliasAndWrapDefsWithPriority =
    wrap: option:
    let
      priority = option.highestPrio or defaultOverridePriority;
    in
    mkAliasIfDef option (wrap (mkMerge (map (mkOverride priority) option.definitions)));
}
