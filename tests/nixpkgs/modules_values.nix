# Small module evaluations with what must come of them, by name. They are run with the
# library of lab/nixpkgs and, where there is one, with the real one.
{ lib }:
let
  inherit (lib)
    evalModules
    mkAfter
    mkBefore
    mkDefault
    mkForce
    mkIf
    mkMerge
    mkOption
    mkOrder
    mkOverride
    types
    ;
  config = modules: (evalModules { inherit modules; }).config;
  # One option `x` of a type, and values that several modules give it.
  merged =
    type: values:
    (config (
      [ { options.x = mkOption { inherit type; }; } ] ++ map (x: { inherit x; }) values
    )).x;
  option = type: default: mkOption { inherit type default; };
  succeeds = value: (builtins.tryEval (builtins.deepSeq value true)).success;

  trivial = {
    default = {
      expr = config [ { options.a = option types.int 3; } ];
      expected.a = 3;
    };
    shorthand = {
      expr = config [
        { options.a.b = option types.int 3; }
        { a.b = 4; }
      ];
      expected.a.b = 4;
    };
    functionModules = {
      expr = config [
        (
          { lib, config, ... }:
          {
            options.a = lib.mkOption { type = lib.types.int; };
            options.b = lib.mkOption { type = lib.types.int; };
            config.a = config.b + 1;
          }
        )
        { b = 1; }
      ];
      expected = {
        a = 2;
        b = 1;
      };
    };
    moduleArguments = {
      expr =
        config [
          { options.a = mkOption { type = types.str; }; }
          ({ greeting, ... }: { a = greeting; })
          { _module.args.greeting = "hello"; }
        ];
      expected.a = "hello";
    };
    specialArgumentsInImports = {
      expr =
        (evalModules {
          specialArgs.extra = [ { a = 7; } ];
          modules = [
            { options.a = mkOption { type = types.int; }; }
            ({ extra, ... }: { imports = extra; })
          ];
        }).config;
      expected.a = 7;
    };
    mkIfDoesNotLookAtItsContent = {
      expr = config [
        { options.a = option types.int 1; }
        { a = mkIf false (throw "must not be looked at"); }
      ];
      expected.a = 1;
    };
    mkIfOverASetMayDependOnOtherOptions = {
      expr = config [
        (
          { config, ... }:
          {
            options.on = option types.bool true;
            options.a = option types.int 1;
            config = mkIf config.on { a = 2; };
          }
        )
      ];
      expected = {
        on = true;
        a = 2;
      };
    };
    freeform = {
      expr = config [
        {
          freeformType = types.attrsOf types.int;
          options.known = option types.str "k";
          config.other = 3;
        }
      ];
      expected = {
        known = "k";
        other = 3;
      };
    };
    freeformNested = {
      expr = config [
        { _module.freeformType = types.attrsOf (types.attrsOf types.int); }
        { a.b = 1; }
        { a.c = 2; }
      ];
      expected.a = {
        b = 1;
        c = 2;
      };
    };
    aModuleIsTakenOnce = {
      expr =
        let
          module = {
            key = "once";
            l = [ 1 ];
          };
        in
        config [
          { options.l = mkOption { type = types.listOf types.int; }; }
          module
          { imports = [ module ]; }
        ];
      expected.l = [ 1 ];
    };
    disabledModules = {
      expr = config [
        { options.l = option (types.listOf types.int) [ ]; }
        {
          imports = [
            {
              key = "unwanted";
              l = [ 1 ];
            }
          ];
          disabledModules = [ { key = "unwanted"; } ];
        }
      ];
      expected.l = [ ];
    };
    extendModules = {
      expr =
        ((evalModules { modules = [ { options.a = option types.int 1; } ]; }).extendModules {
          modules = [ { a = 5; } ];
        }).config;
      expected.a = 5;
    };
    checkOff = {
      expr = config [
        { _module.check = false; }
        { nothing.here = 1; }
      ];
      expected = { };
    };
    apply = {
      expr = config [
        {
          options.a = mkOption {
            type = types.int;
            default = 2;
            apply = x: x * 10;
          };
        }
      ];
      expected.a = 20;
    };
    emptyValue = {
      expr = config [ { options.a = mkOption { type = types.attrsOf types.int; }; } ];
      expected.a = { };
    };
    optionsKnowWhereTheyAreDefined = {
      expr =
        let
          inherit
            (evalModules {
              modules = [
                {
                  _file = "declares.nix";
                  options.a = option types.int 1;
                }
                {
                  _file = "defines.nix";
                  a = mkForce 2;
                }
              ];
            })
            options
            ;
        in
        {
          inherit (options.a)
            declarations
            definitions
            files
            highestPrio
            isDefined
            loc
            ;
          text = "${options.a}";
        };
      expected = {
        declarations = [ "declares.nix" ];
        definitions = [ 2 ];
        files = [ "defines.nix" ];
        highestPrio = 50;
        isDefined = true;
        loc = [ "a" ];
        text = "a";
      };
    };
  };

  priorities = {
    forceWins = {
      expr = merged types.int [
        1
        (mkForce 2)
        (mkDefault 3)
      ];
      expected = 2;
    };
    defaultLoses = {
      expr = merged types.int [
        (mkDefault 3)
        1
      ];
      expected = 1;
    };
    vmOverrideBeatsForce = {
      expr = merged types.int [
        (mkForce 1)
        (lib.mkVMOverride 2)
      ];
      expected = 2;
    };
    ofASet = {
      expr = config [
        {
          options.s = {
            a = option types.int 0;
            b = option types.int 0;
          };
        }
        {
          s = mkDefault {
            a = 1;
            b = 1;
          };
        }
        { s.b = 2; }
      ];
      expected.s = {
        a = 1;
        b = 2;
      };
    };
    onlyTheHighestMerge = {
      expr = merged (types.listOf types.int) [
        [ 1 ]
        (mkForce [ 2 ])
        (mkForce [ 3 ])
      ];
      expected = [
        3
        2
      ];
    };
    ofMembers = {
      expr = merged (types.attrsOf types.int) [
        {
          a = 1;
          b = mkDefault 1;
        }
        { b = 2; }
      ];
      expected = {
        a = 1;
        b = 2;
      };
    };
  };

  order = {
    beforeAndAfter = {
      expr = merged (types.listOf types.int) [
        (mkAfter [ 3 ])
        [ 2 ]
        (mkBefore [ 1 ])
        (mkOrder 1 [ 0 ])
      ];
      expected = [
        0
        1
        2
        3
      ];
    };
    lines = {
      expr = merged types.lines [
        (mkAfter "c")
        "b"
        (mkBefore "a")
      ];
      expected = "a\nb\nc";
    };
    importsFirst = {
      expr =
        (config [
          { options.l = mkOption { type = types.listOf types.str; }; }
          {
            imports = [
              { l = [ "imported" ]; }
              { l = [ "imported too" ]; }
            ];
            l = [ "importer" ];
          }
          { l = [ "last" ]; }
        ]).l;
      expected = [
        "imported too"
        "imported"
        "last"
        "importer"
      ];
    };
    mkMergeKeepsOrder = {
      expr = merged (types.listOf types.int) [
        (mkMerge [
          [ 1 ]
          (mkIf true [ 2 ])
          (mkIf false [ 3 ])
        ])
      ];
      expected = [
        1
        2
      ];
    };
    overrideInsideOrder = {
      expr = merged (types.listOf types.int) [
        (mkOverride 90 (mkAfter [ 2 ]))
        (mkOverride 90 [ 1 ])
      ];
      expected = [
        1
        2
      ];
    };
  };

  submodules = {
    named = {
      expr = config [
        {
          options.u = mkOption {
            type = types.attrsOf (
              types.submodule (
                { name, ... }:
                {
                  options.greeting = mkOption { type = types.str; };
                  config.greeting = mkDefault "hello ${name}";
                }
              )
            );
          };
        }
        {
          u.a = { };
          u.b.greeting = "hi";
        }
      ];
      expected.u = {
        a.greeting = "hello a";
        b.greeting = "hi";
      };
    };
    severalDeclarations = {
      expr = config [
        { options.u = option (types.attrsOf (types.submodule { options.a = option types.int 1; })) { }; }
        {
          options.u = mkOption {
            type = types.attrsOf (types.submodule { options.b = option types.int 2; });
          };
        }
        { u.x.b = 3; }
      ];
      expected.u.x = {
        a = 1;
        b = 3;
      };
    };
    optionsInsideOfASubmoduleOption = {
      expr = config [
        { options.u = option (types.submodule { options.a = option types.int 1; }) { }; }
        { options.u.b = option types.int 2; }
      ];
      expected.u = {
        a = 1;
        b = 2;
      };
    };
    freeformSubmodule = {
      expr = merged
        (types.submodule {
          freeformType = types.attrsOf types.str;
          options.a = option types.int 1;
        })
        [
          { b = "x"; }
          { c = "y"; }
        ];
      expected = {
        a = 1;
        b = "x";
        c = "y";
      };
    };
    functionsAsValues = {
      expr = merged (types.submodule { options.a = option types.int 1; }) [
        ({ config, ... }: { options.twice = option types.int (config.a * 2); })
      ];
      expected = {
        a = 1;
        twice = 2;
      };
    };
    listsOfThem = {
      expr = merged (types.listOf (types.submodule { options.a = option types.int 1; })) [
        [
          { }
          { a = 2; }
        ]
      ];
      expected = [
        { a = 1; }
        { a = 2; }
      ];
    };
    deferred = {
      expr = config [
        (
          { config, ... }:
          {
            options.template = option types.deferredModule { };
            options.made = mkOption { type = types.submodule { imports = [ config.template ]; }; };
          }
        )
        { template.options.a = option types.int 8; }
        { made = { }; }
        ({ lib, ... }: { options.template' = option types.int 1; })
      ] // { template = null; };
      expected = {
        template = null;
        template' = 1;
        made.a = 8;
      };
    };
  };

  typesThatMerge = {
    anything = {
      expr = merged types.anything [
        {
          a.b = 1;
          l = [ 1 ];
        }
        {
          a.c = "x";
          l = [ 1 ];
        }
      ];
      expected = {
        a = {
          b = 1;
          c = "x";
        };
        l = [ 1 ];
      };
    };
    attrsOfListOf = {
      expr = merged (types.attrsOf (types.listOf types.int)) [
        { a = [ 1 ]; }
        { a = [ 2 ]; }
      ];
      expected.a = [
        2
        1
      ];
    };
    attrsOfLeavesOutWhatFallsAway = {
      expr = merged (types.attrsOf types.int) [
        {
          a = mkIf false 1;
          b = 2;
        }
      ];
      expected.b = 2;
    };
    lazyAttrsOfTakesTheEmptyValue = {
      expr = merged (types.lazyAttrsOf (types.nullOr types.int)) [
        {
          a = mkIf false 1;
          b = 2;
        }
      ];
      expected = {
        a = null;
        b = 2;
      };
    };
    coercedTo = {
      expr = merged (types.listOf (types.coercedTo types.int toString types.str)) [
        [
          1
          "two"
        ]
      ];
      expected = [
        "1"
        "two"
      ];
    };
    commas = {
      expr = merged types.commas [
        "a"
        "b"
      ];
      expected = "b,a";
    };
    functionTo = {
      expr = (merged (types.functionTo (types.listOf types.int)) [
        (x: [ x ])
        (x: [ (x + 1) ])
      ]) 1;
      expected = [
        2
        1
      ];
    };
    singleLineStr = {
      expr = merged types.singleLineStr [ "a line\n" ];
      expected = "a line";
    };
    either = {
      expr = merged (types.either types.int (types.listOf types.int)) [
        [ 1 ]
        [ 2 ]
      ];
      expected = [
        2
        1
      ];
    };
    unspecified = {
      expr = merged types.unspecified [
        { a = 1; }
        { b = 2; }
      ];
      expected = {
        a = 1;
        b = 2;
      };
    };
    enumsOfTwoDeclarations = {
      expr =
        (config [
          { options.e = mkOption { type = types.enum [ "a" ]; }; }
          { options.e = mkOption { type = types.enum [ "b" ]; }; }
          { e = "b"; }
        ]).e;
      expected = "b";
    };
  };

  # Whether a type takes a value.
  accepted =
    let
      takes = type: value: succeeds (merged type [ value ]);
    in
    {
      expr = {
        boolTakesBool = takes types.bool true;
        boolTakesNoString = takes types.bool "true";
        portTakes22 = takes types.port 22;
        portTakesNo70000 = takes types.port 70000;
        portTakesNoNegative = takes types.port (-1);
        betweenEnds = takes (types.ints.between 1 3) 3;
        betweenBeyond = takes (types.ints.between 1 3) 4;
        positiveZero = takes types.ints.positive 0;
        unsignedZero = takes types.ints.unsigned 0;
        numberFloat = takes types.number 1.5;
        floatInt = takes types.float 1;
        strMatching = takes (types.strMatching "[a-z]+") "abc";
        strMatchingNot = takes (types.strMatching "[a-z]+") "abc1";
        nonEmptyStrBlank = takes types.nonEmptyStr " ";
        pathAbsolute = takes types.path "/etc";
        pathRelative = takes types.path "etc";
        enumMember = takes (types.enum [ "a" 1 ]) 1;
        enumOther = takes (types.enum [ "a" 1 ]) "b";
        nullOrNull = takes (types.nullOr types.int) null;
        nullOrOther = takes (types.nullOr types.int) "x";
        listOfWrong = takes (types.listOf types.int) [ "x" ];
        attrsOfWrong = takes (types.attrsOf types.int) { a = "x"; };
        oneOfThird = takes (types.oneOf [ types.int types.str types.bool ]) true;
        addCheck = takes (types.addCheck types.int (x: x > 3)) 2;
        singleLine = takes types.singleLineStr "a\nb";
        passwdEntry = takes (types.passwdEntry types.str) "a:b";
        packageString = takes types.package "not a package";
        nonEmptyListOfNone = takes (types.nonEmptyListOf types.int) [ ];
        uniqOnce = takes (types.uniq types.int) 1;
      };
      expected = {
        boolTakesBool = true;
        boolTakesNoString = false;
        portTakes22 = true;
        portTakesNo70000 = false;
        portTakesNoNegative = false;
        betweenEnds = true;
        betweenBeyond = false;
        positiveZero = false;
        unsignedZero = true;
        numberFloat = true;
        floatInt = false;
        strMatching = true;
        strMatchingNot = false;
        nonEmptyStrBlank = false;
        pathAbsolute = true;
        pathRelative = false;
        enumMember = true;
        enumOther = false;
        nullOrNull = true;
        nullOrOther = false;
        listOfWrong = false;
        attrsOfWrong = false;
        oneOfThird = true;
        addCheck = false;
        singleLine = false;
        passwdEntry = false;
        packageString = false;
        nonEmptyListOfNone = false;
        uniqOnce = true;
      };
    };

  descriptions = {
    expr = map (type: type.description) [
      types.bool
      types.int
      types.port
      types.str
      types.lines
      types.path
      types.package
      types.anything
      types.raw
      types.unspecified
      types.number
      (types.ints.between 1 3)
      types.ints.positive
      (types.enum [
        "a"
        "b"
      ])
      (types.enum [ "a" ])
      (types.nullOr types.int)
      (types.nullOr (types.enum [ "a" "b" ]))
      (types.listOf types.int)
      (types.listOf (types.nullOr types.int))
      (types.attrsOf (types.listOf types.str))
      (types.lazyAttrsOf types.str)
      (types.either types.int types.str)
      (types.either types.ints.positive types.str)
      (types.oneOf [ types.int types.str types.bool ])
      (types.functionTo types.int)
      (types.coercedTo types.int toString types.str)
      (types.submodule { })
      (types.submodule { freeformType = types.attrsOf types.int; })
      (types.strMatching "[a-z]+")
      types.nonEmptyStr
      types.singleLineStr
      types.commas
      types.deferredModule
      (types.nonEmptyListOf types.int)
      (types.uniq types.int)
      types.boolByOr
      types.float
      types.attrs
      types.optionType
    ];
    # What the real library says; here only that each has one.
    expected = null;
  };

  renamed = {
    renamedOption = {
      expr =
        let
          c = config [
            (lib.mkRenamedOptionModule [ "old" ] [ "new" ])
            {
              options.new = option types.int 1;
              options.warnings = option (types.listOf types.str) [ ];
            }
            {
              _file = "user.nix";
              old = mkForce 5;
            }
            { new = 6; }
          ];
        in
        {
          inherit (c) new warnings;
        };
      expected = {
        new = 5;
        warnings = [ "The option `old' defined in `user.nix' has been renamed to `new'." ];
      };
    };
    aliasedOption = {
      expr =
        let
          c = config [
            (lib.mkAliasOptionModule [ "short" ] [ "a" "long" ])
            { options.a.long = option (types.listOf types.int) [ ]; }
            { short = [ 1 ]; }
            { a.long = [ 2 ]; }
          ];
        in
        {
          inherit (c) a short;
        };
      expected = {
        a.long = [
          2
          1
        ];
        short = [
          2
          1
        ];
      };
    };
    removedOption = {
      expr =
        map (a: { inherit (a) assertion message; })
          (config [
            (lib.mkRemovedOptionModule [ "gone" ] "Use something else.")
            { options.assertions = option (types.listOf types.unspecified) [ ]; }
            {
              _file = "user.nix";
              gone = 1;
            }
          ]).assertions;
      expected = [
        {
          assertion = false;
          message = ''
            The option definition `gone' in `user.nix' no longer has any effect; please remove it.
            Use something else.
          '';
        }
      ];
    };
    changedOption = {
      expr =
        (config [
          (lib.mkChangedOptionModule [ "level" ] [ "name" ] (c: if c.level > 3 then "high" else "low"))
          {
            options.name = option types.str "none";
            options.warnings = option (types.listOf types.str) [ ];
          }
          { level = 4; }
        ]).name;
      expected = "high";
    };
  };

  library = {
    strings = {
      expr = {
        escapeShellArgs = lib.escapeShellArgs [
          "plain"
          "it's"
          "a b"
          1
        ];
        split = lib.splitString "." "a.b..c";
        hasInfix = map (i: lib.hasInfix i "one\ntwo.three") [ "two.t" "twoxt" "e\nt" ];
        suffix = [
          (lib.hasSuffix "b" "ab")
          (lib.removeSuffix "b" "ab")
          (lib.removePrefix "a" "ab")
        ];
        upper = lib.toUpper "abc";
        concat = lib.concatMapStringsSep "," toString [ 1 2 ];
        fixed = lib.fixedWidthNumber 4 15;
        int = lib.toInt " 12 ";
        trim = lib.trim "  a b \n";
        version = [
          (lib.versionAtLeast "24.11" "24.05")
          (lib.versionOlder "1.2" "1.10")
          (lib.versions.majorMinor "1.2.3")
        ];
        identifier = map lib.strings.escapeNixIdentifier [ "a" "2a" "in" "a.b" ];
        name = lib.getName "hello-1.2";
        storePath = map lib.isStorePath [ "/etc" "/nix/store/x" 1 ];
        regex = lib.escapeRegex "a.b*(c)";
        url = lib.escapeURL "a b/ä";
        nixString = lib.strings.escapeNixString "a\"\${b}\n";
        xml = lib.escapeXML "<a href=\"x\">'&";
        shellVars = lib.toShellVars {
          a = "x y";
          l = [ "1" "2 3" ];
        };
        sanitized = lib.strings.sanitizeDerivationName "..a b@c";
        distance = lib.strings.levenshtein "kitten" "sitting";
        search = lib.makeBinPath [ "/a" "/b" ];
      };
      expected = null;
    };
    lists = {
      expr = {
        flatten = lib.flatten [ 1 [ 2 [ 3 ] ] ];
        unique = lib.unique [ 1 2 1 ];
        range = lib.range 1 3;
        sub = lib.sublist 1 5 [ 1 2 3 ];
        take = lib.take 2 [ 1 2 3 ];
        drop = lib.drop 2 [ 1 2 3 ];
        last = lib.last [ 1 2 ];
        init = lib.init [ 1 2 ];
        natural = lib.naturalSort [ "a10" "a2" "a1" ];
        zip = lib.zipLists [ 1 2 ] [ "a" "b" "c" ];
        topo = lib.toposort (a: b: a < b) [ 3 1 2 ];
        foldr = lib.foldr (a: b: a + b) "" [ "a" "b" ];
        first = lib.findFirst (x: x > 1) null [ 1 2 3 ];
        imap = lib.imap1 (i: v: "${toString i}${v}") [ "a" "b" ];
        group = lib.groupBy toString [ 1 1 2 ];
        subtract = lib.subtractLists [ 1 ] [ 1 2 ];
        intersect = lib.intersectLists [ 1 2 ] [ 2 3 ];
        sortOn = lib.sortOn (x: -x) [ 1 3 2 ];
      };
      expected = null;
    };
    attrsets = {
      expr = {
        path = lib.attrByPath [ "a" "b" ] 0 { a.b = 1; };
        set = lib.setAttrByPath [ "a" "b" ] 1;
        filter = lib.filterAttrs (n: v: v > 1) {
          a = 1;
          b = 2;
        };
        update = lib.recursiveUpdate { a.b = 1; a.c = 1; } { a.b = 2; };
        gen = lib.genAttrs [ "a" ] (n: "${n}!");
        map' = lib.mapAttrs' (n: v: lib.nameValuePair "x${n}" v) { a = 1; };
        list = lib.mapAttrsToList (n: v: "${n}=${toString v}") { a = 1; };
        recursive = lib.mapAttrsRecursive (p: v: lib.concatStringsSep "." p) { a.b = 1; };
        collect = lib.collect builtins.isInt { a.b = 1; c = 2; };
        fold = lib.foldlAttrs (acc: n: v: acc + v) 0 { a = 1; b = 2; };
        zip = lib.zipAttrs [ { a = 1; } { a = 2; } ];
        product = lib.cartesianProduct { a = [ 1 2 ]; b = [ 3 ]; };
        has = lib.hasAttrByPath [ "a" "c" ] { a.b = 1; };
        concat = lib.concatMapAttrs (n: v: { ${n + "1"} = v; }) { a = 1; };
      };
      expected = null;
    };
    generators = {
      expr = {
        keyValue = lib.generators.toKeyValue { } {
          a = true;
          b = 1;
        };
        ini = lib.generators.toINI { } {
          s.a = "b";
          "t[".c = 1.5;
        };
        global = lib.generators.toINIWithGlobalSection { } {
          globalSection.a = 1;
          sections.s.b = 2;
        };
        pretty = lib.generators.toPretty { } {
          a = [
            1
            null
            "x\ny"
          ];
          f = x: x;
          g = { y, z ? 1 }: y;
          "a b" = { };
          e = [ ];
          d = 1.5;
        };
        git = lib.generators.toGitINI {
          user.name = "x";
          "remote.origin".url = "y";
        };
        duplicates = lib.generators.toKeyValue { listsAsDuplicateKeys = true; } { a = [ 1 2 ]; };
        cli = lib.cli.toGNUCommandLineShell { } {
          v = true;
          name = "a b";
          many = [ 1 2 ];
          no = false;
          none = null;
        };
      };
      expected = null;
    };
    optionPaths = {
      expr = lib.showOption [
        "a"
        "b.c"
        "<name>"
        "*"
        "2d"
      ];
      expected = ''a."b.c".<name>.*."2d"'';
    };
  };
in
trivial
// priorities
// order
// submodules
// typesThatMerge
// renamed
// library
// {
  inherit accepted descriptions;
}
