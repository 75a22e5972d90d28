lib:
let
  inherit (builtins)
    concatLists
    elem
    elemAt
    filter
    genList
    head
    isList
    length
    map
    tail
    ;
in
rec {
  inherit (builtins)
    all
    any
    concatLists
    concatMap
    elem
    elemAt
    filter
    genList
    head
    length
    map
    partition
    sort
    tail
    ;

  concat = a: b: a ++ b;
  singleton = x: [ x ];
  forEach = xs: f: map f xs;

  foldr =
    op: nul: list:
    let
      count = length list;
      go = i: if i == count then nul else op (elemAt list i) (go (i + 1));
    in
    go 0;
  fold = foldr;
  foldl =
    op: nul: list:
    let
      go = i: if i < 0 then nul else op (go (i - 1)) (elemAt list i);
    in
    go (length list - 1);
  # Unlike the built-in one this forces the start value too.
  foldl' = op: nul: list: builtins.seq nul (builtins.foldl' op nul list);

  imap0 = f: list: genList (i: f i (elemAt list i)) (length list);
  imap1 = f: list: genList (i: f (i + 1) (elemAt list i)) (length list);
  ifilter0 =
    p: list:
    map (i: elemAt list i) (filter (i: p i (elemAt list i)) (genList (i: i) (length list)));
  concatImap0 = f: list: concatLists (imap0 f list);
  concatImap1 = f: list: concatLists (imap1 f list);

  flatten = x: if isList x then builtins.concatMap flatten x else [ x ];
  remove = e: filter (x: x != e);
  findSingle =
    p: default: multiple: list:
    let
      found = filter p list;
    in
    if found == [ ] then
      default
    else if length found > 1 then
      multiple
    else
      head found;
  findFirstIndex =
    p: default: list:
    let
      count = length list;
      go =
        i:
        if i == count then
          default
        else if p (elemAt list i) then
          i
        else
          go (i + 1);
    in
    go 0;
  findFirst =
    p: default: list:
    let
      index = findFirstIndex p null list;
    in
    if index == null then default else elemAt list index;
  count = p: list: builtins.foldl' (n: x: if p x then n + 1 else n) 0 list;

  optional = condition: x: if condition then [ x ] else [ ];
  optionals = condition: list: if condition then list else [ ];
  toList = x: if isList x then x else [ x ];
  range = first: last: if first > last then [ ] else genList (n: first + n) (last - first + 1);
  replicate = n: x: genList (_: x) n;

  groupBy' =
    op: nul: key: list:
    builtins.mapAttrs (_: builtins.foldl' op nul) (builtins.groupBy key list);
  groupBy = builtins.groupBy;
  zipListsWith =
    f: a: b:
    genList (i: f (elemAt a i) (elemAt b i)) (lib.min (length a) (length b));
  zipLists = zipListsWith (fst: snd: { inherit fst snd; });
  reverseList =
    list:
    let
      count = length list;
    in
    genList (i: elemAt list (count - i - 1)) count;
  crossLists = f: builtins.foldl' (fs: args: builtins.concatMap (g: map g args) fs) [ f ];
  cartesianProduct = lib.attrsets.cartesianProduct;
  mapCartesianProduct = f: attrs: map f (lib.attrsets.cartesianProduct attrs);

  take = n: sublist 0 n;
  takeEnd = n: list: drop (lib.max 0 (length list - n)) list;
  drop = n: list: sublist n (length list) list;
  dropEnd = n: list: take (lib.max 0 (length list - n)) list;
  sublist =
    start: size: list:
    let
      count = length list;
      available = if start >= count then 0 else lib.min size (count - start);
    in
    genList (i: elemAt list (start + i)) available;
  last =
    list:
    if list == [ ] then
      throw "lists.last: list must not be empty!"
    else
      elemAt list (length list - 1);
  init =
    list:
    if list == [ ] then throw "lists.init: list must not be empty!" else take (length list - 1) list;
  hasPrefix = prefix: list: take (length prefix) list == prefix;
  removePrefix =
    prefix: list:
    if hasPrefix prefix list then
      drop (length prefix) list
    else
      throw "lib.lists.removePrefix: First argument is not a list prefix of the second argument";
  commonPrefix =
    a: b:
    let
      pairs = zipListsWith (x: y: x == y) a b;
      first = findFirstIndex (same: !same) (length pairs) pairs;
    in
    take first a;

  unique = builtins.foldl' (acc: e: if elem e acc then acc else acc ++ [ e ]) [ ];
  uniqueStrings = list: builtins.attrNames (builtins.groupBy (x: x) list);
  allUnique = list: length (unique list) == length list;
  intersectLists = wanted: filter (x: elem x wanted);
  subtractLists = unwanted: filter (x: !(elem x unwanted));
  mutuallyExclusive = a: b: intersectLists a b == [ ];

  sortOn =
    f: list:
    map (pair: elemAt pair 1) (
      builtins.sort (a: b: head a < head b) (
        map (x: [
          (f x)
          x
        ]) list
      )
    );
  compareLists =
    cmp: a: b:
    if a == [ ] then
      if b == [ ] then 0 else -1
    else if b == [ ] then
      1
    else
      let
        first = cmp (head a) (head b);
      in
      if first == 0 then compareLists cmp (tail a) (tail b) else first;
  naturalSort =
    list:
    let
      vectorise = s: map (x: if isList x then lib.toInt (head x) else x) (builtins.split "(0|[1-9][0-9]*)" s);
      prepared = map (x: [
        (vectorise x)
        x
      ]) list;
    in
    map (pair: elemAt pair 1) (
      builtins.sort (a: b: compareLists lib.compare (head a) (head b) < 0) prepared
    );

  # Sorts so that whatever `before` says comes first does; names a cycle if there is one.
  toposort =
    before: list:
    let
      go =
        done: rest:
        if rest == [ ] then
          { result = done; }
        else
          let
            ready = findFirst (x: !(builtins.any (y: y != x && before y x) rest)) null rest;
          in
          if ready == null then
            {
              cycle = followCycle [ (head rest) ] rest;
              loops = done;
            }
          else
            go (done ++ [ ready ]) (removeFirst ready rest);
      removeFirst =
        x: xs:
        let
          at = findFirstIndex (y: y == x) 0 xs;
        in
        take at xs ++ drop (at + 1) xs;
      followCycle =
        path: rest:
        let
          next = findFirst (y: y != head path && before y (head path)) null rest;
        in
        if next == null || elem next path then path else followCycle ([ next ] ++ path) rest;
    in
    go [ ] list;
}
