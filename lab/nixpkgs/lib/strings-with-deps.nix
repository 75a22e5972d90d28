# Snippets of code that name those which must come before.
_: rec {
  stringAfter = deps: text: { inherit deps text; };
  noDepEntry = stringAfter [ ];
  fullDepEntry = text: deps: { inherit deps text; };
  packEntry = deps: stringAfter deps "";
}
