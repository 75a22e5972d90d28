# From options to units: the text of a unit, its place in the store, and the directory of all.
{
  lib,
  pkgs,
  config,
}:
let
  cfg = config.systemd;
  # Unit names hold characters that store names may not.
  mangle = builtins.replaceStrings [ "@" ":" "\\" "[" "]" ] [ "-" "-" "-" "" "" ];

  # `{ Wants = [ "a" "b" ]; Foo = true; }` as lines. A list repeats its key.
  section =
    attrs:
    let
      show = value: if builtins.isBool value then lib.boolToString value else toString value;
      line = key: value: "${key}=${show value}\n";
    in
    lib.concatStrings (
      lib.mapAttrsToList (
        key: value: if builtins.isList value then lib.concatMapStrings (line key) value else line key value
      ) (lib.filterAttrs (_: value: value != null) attrs)
    );

  unitSection =
    c:
    let
      list = key: values: lib.optionalAttrs (values != [ ]) { ${key} = toString values; };
      when = key: value: lib.optionalAttrs (value != null && value != "") { ${key} = value; };
      triggers = values: toString (map (t: if builtins.isPath t then "${t}" else t) (lib.flatten values));
    in
    list "Requires" c.requires
    // list "Wants" c.wants
    // list "Upholds" c.upholds
    // list "After" c.after
    // list "Before" c.before
    // list "BindsTo" c.bindsTo
    // list "PartOf" c.partOf
    // list "Conflicts" c.conflicts
    // list "Requisite" c.requisite
    // list "OnFailure" c.onFailure
    // list "OnSuccess" c.onSuccess
    // list "Documentation" c.documentation
    // when "Description" c.description
    # Their text is what matters: it changes when one of them does.
    // when "X-Restart-Triggers" (triggers c.restartTriggers)
    // when "X-Reload-Triggers" (triggers c.reloadTriggers)
    // lib.optionalAttrs (c.startLimitIntervalSec != null) {
      StartLimitIntervalSec = c.startLimitIntervalSec;
    }
    // lib.optionalAttrs (c.startLimitBurst != null) { StartLimitBurst = c.startLimitBurst; }
    // c.unitConfig;

  unitOf = text: c: {
    inherit (c)
      aliases
      enable
      overrideStrategy
      requiredBy
      upheldBy
      wantedBy
      ;
    text = "[Unit]\n${section (unitSection c)}\n${text}";
  };

  environmentLines =
    environment:
    lib.concatStrings (
      lib.mapAttrsToList (
        name: value:
        lib.optionalString (value != null) "Environment=${builtins.toJSON "${name}=${toString value}"}\n"
      ) environment
    );

  jobScript =
    scriptName: text:
    "${
      pkgs.writeTextFile {
        name = "unit-script-${mangle scriptName}";
        executable = true;
        destination = "/bin/${mangle scriptName}";
        text = "#!${pkgs.runtimeShell} -e\n${text}\n";
        checkPhase = ''/bin/bash -n "$target"'';
      }
    }/bin/${mangle scriptName}";
in
rec {
  inherit jobScript mangle section;

  serviceUnit =
    name: c:
    unitOf (
      "[Service]\n"
      + environmentLines c.environment
      + section c.serviceConfig
      + lib.optionalString c.reloadIfChanged "X-ReloadIfChanged=true\n"
      + lib.optionalString (!c.reloadIfChanged && !c.restartIfChanged) "X-RestartIfChanged=false\n"
      + lib.optionalString (!c.stopIfChanged) "X-StopIfChanged=false\n"
      + lib.optionalString c.notSocketActivated "X-NotSocketActivated=true\n"
    ) c;
  socketUnit =
    c:
    unitOf (
      "[Socket]\n"
      + section c.socketConfig
      + lib.concatMapStrings (s: "ListenStream=${s}\n") c.listenStreams
      + lib.concatMapStrings (s: "ListenDatagram=${s}\n") c.listenDatagrams
    ) c;
  sectionUnit = header: attrs: c: unitOf "[${header}]\n${section attrs}" c;
  targetUnit = unitOf "";
  mountUnit =
    c:
    sectionUnit "Mount" (
      {
        What = c.what;
        Where = c.where;
      }
      // lib.optionalAttrs (c.type != "") { Type = c.type; }
      // lib.optionalAttrs (c.options != "") { Options = c.options; }
      // c.mountConfig
    ) c;
  automountUnit = c: sectionUnit "Automount" ({ Where = c.where; } // c.automountConfig) c;

  # A unit is a store path of its own: equal path, equal unit.
  makeUnit =
    name: unit:
    let
      drv =
        suffix: command:
        derivation {
          # `x.service.d/y.conf` is taken too, as nixpkgs does.
          name = "unit-${builtins.replaceStrings [ "/" ] [ "-" ] (mangle name)}${suffix}";
          inherit (pkgs) system;
          builder = "/bin/sh";
          PATH = "/usr/bin:/bin";
          preferLocalBuild = true;
          allowSubstitutes = false;
          unitName = name;
          ${if suffix == "" then "text" else null} = unit.text;
          args = [
            "-ec"
            command
          ];
        };
    in
    if unit.enable then
      drv "" ''mkdir -p "$out/$(dirname "$unitName")"; printf %s "$text" >"$out/$unitName"''
    else
      drv "-disabled" ''mkdir "$out"; ln -s /dev/null "$out/$unitName"'';

  # The directory that becomes /etc/systemd/system.
  generateUnits =
    {
      units,
      packages,
      upstream,
      defaultUnit,
    }:
    let
      quote = lib.escapeShellArg;
      links =
        kind: names: target:
        lib.concatMapStrings (to: "want ${quote target} ${quote "${to}.${kind}"}\n") names;
      isUpstream = name: builtins.elem name upstream;
      place =
        name: unit:
        let
          file = "${unit.unit}/${name}";
        in
        # What the machine brings too is not replaced but added to.
        if unit.overrideStrategy == "asDropin" then
          "dropin ${quote file} ${quote name}\n"
        else if isUpstream name && unit.enable then
          "dropin ${quote file} ${quote name}\n"
        else
          "put ${quote file} ${quote name}\n";
      relations =
        name: unit:
        lib.concatMapStrings (alias: "ln -sfn ${quote name} \"$out/\"${quote alias}\n") unit.aliases
        + lib.optionalString unit.enable (
          links "wants" unit.wantedBy name
          + links "requires" unit.requiredBy name
          + links "upholds" unit.upheldBy name
        );
    in
    derivation {
      name = "system-units";
      inherit (pkgs) system;
      builder = "/bin/sh";
      PATH = "/usr/bin:/bin";
      preferLocalBuild = true;
      allowSubstitutes = false;
      passAsFile = [ "script" ];
      packages = map toString packages;
      args = [
        "-ec"
        ". \"$scriptPath\""
      ];
      script = ''
        dir() { [ -d "$out/$1" ] || mkdir "$out/$1"; }
        dropin() { dir "$2.d"; ln -s "$1" "$out/$2.d/overrides.conf"; }
        # A unit that a package brings is not replaced either.
        put() {
            if [ -e "$out/$2" ] && [ "$(readlink "$1")" != /dev/null ]; then
                dropin "$1" "$2"
            else
                mkdir -p "$(dirname "$out/$2")"
                ln -sfn "$1" "$out/$2"
            fi
        }
        want() { dir "$2"; ln -sfn "../$1" "$out/$2/$1"; }
        mkdir "$out"
        for package in $packages; do
            for file in "$package"/etc/systemd/system/* "$package"/lib/systemd/system/*; do
                case $file in
                *.wants | *.requires)
                    for link in "$file"/*; do want "''${link##*/}" "''${file##*/}"; done
                    continue
                    ;;
                esac
                [ ! -e "$file" ] || ln -sfn "$file" "$out/"
            done
        done
        ${lib.concatStrings (lib.mapAttrsToList place units)}
        ${lib.concatStrings (lib.mapAttrsToList relations units)}
        ln -sfn ${quote defaultUnit} "$out/default.target"
        ln -sfn reboot.target "$out/ctrl-alt-del.target"
      '';
    };
}
