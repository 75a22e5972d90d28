# Settings as files: a type for what a format can hold, and the file made of it.
{ lib, pkgs }:
let
  inherit (lib) types;
  # Anything JSON can hold.
  valueType =
    name:
    let
      value = types.nullOr (
        types.oneOf [
          types.bool
          types.int
          types.float
          types.str
          types.path
          (types.attrsOf value)
          (types.listOf value)
        ]
      ) // { description = "${name} value"; };
    in
    value;
  atom = types.nullOr (
    types.oneOf [
      types.bool
      types.int
      types.float
      types.str
    ]
  );
  elementType = takesLists: if takesLists then types.either atom (types.listOf atom) else atom;
in
{
  json = _: {
    type = valueType "JSON";
    generate =
      name: value:
      pkgs.runCommand name
        {
          value = builtins.toJSON value;
          passAsFile = [ "value" ];
        }
        ''
          python3 -m json.tool --indent 2 --no-ensure-ascii "$valuePath" "$out"
        '';
  };
  # JSON is YAML, and no other writer is at hand.
  yaml = options: pkgs.formats.json options // { type = valueType "YAML 1.1"; };
  toml = _: {
    type = valueType "TOML";
    generate = name: value: pkgs.writeText name (lib.generators.toTOML value);
  };
  ini =
    {
      listsAsDuplicateKeys ? false,
      listToValue ? null,
      ...
    }@args:
    let
      element = elementType (listsAsDuplicateKeys || listToValue != null);
      convert = v: if listToValue != null && builtins.isList v then listToValue v else v;
    in
    {
      type = types.attrsOf (types.attrsOf element);
      generate =
        name: value:
        pkgs.writeText name (
          lib.generators.toINI (removeAttrs args [ "listToValue" ]) (
            lib.mapAttrs (_: lib.mapAttrs (_: convert)) value
          )
        );
    };
  keyValue =
    {
      listsAsDuplicateKeys ? false,
      listToValue ? null,
      ...
    }@args:
    let
      element = elementType (listsAsDuplicateKeys || listToValue != null);
      convert = v: if listToValue != null && builtins.isList v then listToValue v else v;
    in
    {
      type = types.attrsOf element;
      generate =
        name: value:
        pkgs.writeText name (
          lib.generators.toKeyValue (removeAttrs args [ "listToValue" ]) (lib.mapAttrs (_: convert) value)
        );
    };
}
