# What a host that is not NixOS runs of system-manager. Comes before what asks; POSIX sh,
# GNU or busybox tools.
#
# Nothing there says it in one word, as /run/current-system does on NixOS: the profile is
# set before an activation, whatever becomes of that, and the activation writes into its
# state which units it took from where. So the system that was activated last is what our
# guardian noted, if the state was not written since; else what the profile holds, since
# somebody else sets that first. And it is what runs if its units are those of the state.
managed_state=/var/lib/system-manager/state/system-manager-state.json
managed_profile=/nix/var/nix/profiles/system-manager-profiles/system-manager
managed_note=/nix/var/nix/reconciler-activated # the guardian's: a system, and a stamp

managed_stamp() { TZ=UTC0 stat -c '%y %s' -- "$managed_state" 2>/dev/null; }

# managed_last: print the system that was activated last, whatever became of it.
managed_last() {
    managed_noted='' managed_at=''
    if [ -r "$managed_note" ]; then
        { read -r managed_noted && read -r managed_at; } <"$managed_note" ||
            managed_noted=
    fi
    if [ -n "$managed_noted" ] && [ "$managed_at" = "$(managed_stamp)" ]; then
        printf '%s\n' "$managed_noted"
    elif [ -L "$managed_profile" ]; then
        readlink -f -- "$managed_profile"
    fi
}

# managed_units FILE: the paths of units in JSON, as Nix and the engine write it.
managed_units() { grep -o '"storePath":"[^"]*"' -- "$1" 2>/dev/null | sort -u; }

# managed_running: print the system that runs; nothing if there is none, or part of one.
managed_running() {
    managed_found=$(managed_last)
    [ -n "$managed_found" ] || return 0
    managed_wanted=$(managed_units "$managed_found/services/services.json")
    if [ -n "$managed_wanted" ] &&
        [ "$managed_wanted" = "$(managed_units "$managed_state")" ]; then
        printf '%s\n' "$managed_found"
    fi
}
