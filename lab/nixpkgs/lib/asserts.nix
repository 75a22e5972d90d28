lib: {
  # True, or an evaluation error with the message.
  assertMsg = condition: message: if condition then true else throw message;

  assertOneOf =
    name: value: allowed:
    lib.assertMsg (lib.elem value allowed)
      "${name} must be one of ${lib.generators.toPretty { } allowed}, but is: ${
        lib.generators.toPretty { } value
      }";
}
