# The kinds of systems, and what each is switched by: all that is NixOS's own about a
# switch, beside what it is on a host that is not NixOS. Part of guard.sh and guardian.sh;
# comes after system-manager.sh.
#
#                       NixOS                           system-manager
#   is switched to by   bin/switch-to-configuration     bin/activate, which ends well
#                                                       whatever fails
#   checks itself by    the same                        bin/preActivationAssertions
#   runs                /run/current-system             what managed_running says
#   is what it boots    profile and boot loader         what was activated last: see
#                                                       unconfirmed.sh
#
# On such a host the system to go back to may be `none`: nothing was activated before.
roots=/nix/var/nix/gcroots
none=none

# use_kind SYSTEM: what the rest here is about.
use_kind() {
    if [ -f "$1/services/services.json" ]; then
        kind=system-manager profile=$managed_profile
    else
        kind=nixos profile=/nix/var/nix/profiles/system
    fi
}

is_nixos() { [ "$kind" = nixos ]; }

# why_not_whole SYSTEM VARIANT: say what it lacks. A copy that was cut off can look like a
# whole one (github.com/NixOS/nix/issues/13367).
why_not_whole() {
    if is_nixos; then
        if [ ! -f "$1/nixos-version" ]; then
            echo "$1 is not whole on this host"
        elif [ ! -d "$1/$2" ]; then
            echo "this system has no $2"
        elif [ ! -x "$1/$2/bin/switch-to-configuration" ]; then
            echo "this system cannot be switched to: system.switch.enable is false"
        fi
        return
    fi
    for part in activate deactivate preActivationAssertions system-manager-engine; do
        if [ ! -x "$1/bin/$part" ]; then
            echo "$1 is not whole on this host: it has no bin/$part" && return
        fi
    done
}

# running_system: what runs; `part` is none, and no system.
running_system() {
    if is_nixos; then
        readlink -f /run/current-system
        return
    fi
    now_runs=$(managed_running)
    if [ -n "$now_runs" ]; then
        printf '%s\n' "$now_runs"
    elif [ -z "$(managed_units "$managed_state")" ]; then
        echo "$none"
    else
        echo part
    fi
}

# system_before SYSTEM: what is gone back to. Where only part of one runs, as somebody's
# switch may have left it, the profile says which that should have been.
system_before() {
    if ! is_nixos && [ "$1" = "$none" ] && [ "$(running_system)" = part ] &&
        [ -L "$profile" ]; then
        readlink -f -- "$profile"
    else
        printf '%s\n' "$1"
    fi
}

# keep_off_collector SYSTEM LINK
keep_off_collector() {
    if [ "$1" = "$none" ]; then rm -f -- "$roots/$2"; else ln -sfn -- "$1" "$roots/$2"; fi
}

# --- in the guardian -----------------------------------------------------------------

# ask_system SECONDS SYSTEM: what it says to a switch, and does nothing.
ask_system() {
    if is_nixos; then
        bounded "$1" "$2/bin/switch-to-configuration" check
    else
        bounded "$1" "$2/bin/preActivationAssertions"
    fi
}

# activate SECONDS SYSTEM
activate() {
    if is_nixos; then
        bounded "$1" "$2/bin/switch-to-configuration" test
        return
    fi
    activate_by "$1" "$2" "$2/bin/activate" || return
    if said | grep -q 'Error during activation'; then restart_left_behind "$2"; fi
    if [ "$(running_system)" != "$2" ]; then
        echo "it ended well, and the host does not run all of $2" >>log
        return 1
    fi
}

# Its engine waits for jobs for half a minute, and then does no more: where stopping took
# longer, what changed runs on as it was, and no other activation would restart it.
restart_left_behind() {
    shown=$(show_services) || return 0
    # shellcheck disable=SC2046 # a list of unit names
    set -- "$1" $(list_begun 0 "$(cat began)" | while read -r unit; do
        defined=$(unit_of "$1" "$unit") before=$(unit_of "$(cat old)" "$unit")
        [ -n "$defined" ] && [ -n "$before" ] && [ "$defined" != "$before" ] || continue
        grep -Esq '^X-RestartIfChanged=(0|no|false|off)$' "$defined" ||
            printf '%s\n' "$unit"
    done)
    shift
    [ $# -gt 0 ] || return 0
    echo "restarting what the activation has left as it was: $*" | tee -a log
    bounded 60 systemctl reload-or-restart -- "$@"
}

# unit_of SYSTEM UNIT: the file of a unit; nothing if it has none of that name.
unit_of() {
    managed_units "$1/services/services.json" | sed 's/^"storePath":"//; s/"$//' |
        grep -F "/$(printf '%s' "$2" | sed 's/\\/\\\\/g')" | while IFS= read -r file; do
        file=$(printf '%s' "$file" | sed 's/\\\\/\\/g')
        if [ "${file##*/}" = "$2" ]; then printf '%s\n' "$file"; fi
    done
}

# activate_again SECONDS SYSTEM TRY: go back to it. No check may keep a host from what it
# ran before.
activate_again() {
    if is_nixos; then
        bounded "$1" env NIXOS_NO_CHECK=1 "$2/bin/switch-to-configuration" test
        return
    fi
    take_away_unwritten
    if [ "$2" = "$none" ]; then
        activate_by "$1" "$2" "$(cat new)/bin/deactivate"
    elif [ $(($3 % 2)) -eq 0 ]; then
        activate_by "$1" "$2" "$2/bin/activate"
    else
        # An older engine may not read a state that a newer one has written.
        activate_by "$1" "$2" "$(cat new)/bin/system-manager-engine" activate \
            --store-path "$2"
    fi
}

# activate_by SECONDS SYSTEM COMMAND…: note what was activated, if something was. Folders
# that it makes are for others to read, too; a NixOS sees to that itself.
activate_by() {
    allowed=$1 chosen=$2 written=$(managed_stamp)
    shift 2
    # shellcheck disable=SC2016 # for the other shell
    bounded "$allowed" sh -c 'umask 022 && exec "$@"' sh "$@"
    ended=$?
    if [ "$(managed_stamp)" != "$written" ]; then
        rm -f -- "$managed_note"
        if [ "$chosen" != "$none" ]; then
            printf '%s\n' "$chosen" "$(managed_stamp)" >"$managed_note.part" &&
                chmod 644 "$managed_note.part" &&
                mv -f "$managed_note.part" "$managed_note"
        fi
    fi
    return "$ended"
}

# An activation that was cut off has put links into /etc and written that nowhere: nobody
# would ever replace them. Those that lead just where the new system's do are its own.
take_away_unwritten() {
    [ -e written-before ] || return 0
    [ "$(managed_stamp)" = "$(cat written-before)" ] || return 0
    files=$(sed -n 's/.*"staticEnv":"\([^"]*\)".*/\1/p' "$(cat runs)/etcFiles/etcFiles.json")
    [ -n "$files" ] || return 0
    find -L "$files" ! -type d -printf '%P\n' | while IFS= read -r name; do
        in_json=$(printf '%s' "/etc/$name" | sed 's/\\/\\\\/g')
        if [ -L "/etc/$name" ] && ! grep -qsF "\"$in_json\"" "$managed_state" &&
            [ "$(readlink "/etc/$name")" = "$(readlink -f "$files/$name")" ]; then
            echo "taking away /etc/$name, of an activation that was cut off" >>log
            rm -f -- "/etc/$name"
            mv -f -- "/etc/$name.system-manager-backup" "/etc/$name" 2>/dev/null
        fi
    done
}

# set_default SYSTEM: make it a generation, and what the host boots.
set_default() {
    (umask 022 && mkdir -p "${profile%/*}")
    bounded 120 nix-env -p "$profile" --set "$1" && set_loader "$1"
}

# set_loader SYSTEM [VARIABLE=VALUE…]
set_loader() {
    if is_nixos; then
        booted=$1
        shift
        bounded 300 env "$@" "$booted/bin/switch-to-configuration" boot
    else
        ln -sfn -- "$1" "$roots/system-manager-current" # as its own tool keeps it
    fi
}
