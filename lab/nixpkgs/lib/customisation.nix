lib: rec {
  # Gives the result of `f args` an `override` that calls `f` again with other arguments.
  makeOverridable =
    f:
    lib.setFunctionArgs (
      args:
      let
        result = f args;
        argsWith = new: args // (if lib.isFunction new then new args else new);
        again = new: makeOverridable f (argsWith new);
        override = lib.setFunctionArgs again (lib.functionArgs f);
        overrideDerivation = g: makeOverridable (a: lib.overrideDerivation (f a) g) args;
      in
      if builtins.isAttrs result then
        result
        // {
          inherit override overrideDerivation;
          # Keep `override` on what `overrideAttrs` yields.
          ${if result ? overrideAttrs then "overrideAttrs" else null} =
            g: makeOverridable (a: (f a).overrideAttrs g) args;
        }
      else if lib.isFunction result then
        lib.setFunctionArgs result (lib.functionArgs result) // { inherit override; }
      else
        result
    ) (lib.functionArgs f);

  overrideDerivation =
    drv: f:
    let
      new = derivation (drv.drvAttrs // f drv);
    in
    new
    // {
      meta = drv.meta or { };
      passthru = drv.passthru or { };
    };

  callPackageWith =
    autoArgs: fn: args:
    let
      f = if lib.isFunction fn then fn else import fn;
      wanted = lib.functionArgs f;
      given = builtins.intersectAttrs wanted autoArgs // args;
      missing = builtins.filter (name: !wanted.${name} && !(given ? ${name})) (builtins.attrNames wanted);
      where = if lib.isFunction fn then "" else " of ${toString fn}";
    in
    if missing == [ ] then
      makeOverridable f given
    else
      throw "lib.customisation.callPackageWith: Function${where} called without required argument \"${builtins.head missing}\"";
  callPackagesWith =
    autoArgs: fn: args:
    let
      f = if lib.isFunction fn then fn else import fn;
      given = builtins.intersectAttrs (lib.functionArgs f) autoArgs // args;
    in
    builtins.mapAttrs (name: _: makeOverridable (a: (f a).${name}) given) (f given);

  extendDerivation =
    condition: passthru: drv:
    assert condition;
    drv // passthru;
  hydraJob = drv: drv;

  makeScope =
    newScope: f:
    let
      scope = f scope // {
        newScope = extra: newScope (scope // extra);
        callPackage = scope.newScope { };
        overrideScope = overlay: makeScope newScope (lib.extends overlay f);
        packages = f;
      };
    in
    scope;
}
