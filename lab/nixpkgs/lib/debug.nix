# Showing values while they are evaluated.
lib: rec {
  inherit (builtins) addErrorContext trace unsafeGetAttrPos;
  traceIf = condition: message: value: if condition then builtins.trace message value else value;
  traceVal = traceValFn lib.id;
  traceValFn = f: value: builtins.trace (f value) value;
  traceSeq = shown: value: builtins.trace (builtins.deepSeq shown shown) value;
  traceValSeq = traceValSeqFn lib.id;
  traceValSeqFn = f: value: traceValFn f (builtins.deepSeq value value);

  # The cases of `{ name = { expr, expected }; }` that do not come out as expected.
  runTests =
    tests:
    let
      failed = lib.filterAttrs (_: test: test.expr != test.expected) tests;
    in
    lib.mapAttrsToList (name: test: {
      inherit name;
      inherit (test) expected;
      result = test.expr;
    }) failed;
}
