# What a host that is not NixOS runs of system-manager. Comes before what asks; POSIX sh,
# GNU or busybox tools.
#
# Nothing there says it in one word, as /run/current-system does on NixOS: the profile is
# set before an activation, whatever becomes of that, and the activation writes into its
# state which units it took from where. So the system that was activated last is what our
# guardian noted, if the state was not written since; else what the profile holds, since
# somebody else sets that first. And it is what runs if its units are those of the state.
state=/var/lib/system-manager/state/system-manager-state.json
managed=/nix/var/nix/profiles/system-manager-profiles/system-manager
activated=/nix/var/nix/reconciler-activated # the guardian's: a system, and a stamp

stamp() { TZ=UTC0 stat -c '%y %s' -- "$state" 2>/dev/null; }

# activated_last: print the system that was activated last, whatever became of it.
activated_last() {
    noted='' at=''
    if [ -r "$activated" ]; then
        { read -r noted && read -r at; } <"$activated" || noted=
    fi
    if [ -n "$noted" ] && [ "$at" = "$(stamp)" ]; then
        printf '%s\n' "$noted"
    elif [ -L "$managed" ]; then
        readlink -f -- "$managed"
    fi
}

# units_in FILE: the paths of units in JSON, as Nix and the engine write it.
units_in() { grep -o '"storePath":"[^"]*"' -- "$1" 2>/dev/null | sort -u; }

# runs SYSTEM: whether the units of the state are those of a system.
runs() {
    units=$(units_in "$state")
    [ -n "$units" ] && [ "$units" = "$(units_in "$1/services/services.json")" ]
}

# running: print the system that runs; nothing if there is none, or only part of one.
running() {
    system=$(activated_last)
    if [ -n "$system" ] && runs "$system"; then printf '%s\n' "$system"; fi
}
