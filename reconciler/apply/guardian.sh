# The guardian: what a host itself does while it is switched to another system.
#
#   sh guardian run DIR       as the main process of the unit reconciler-activation
#   sh guardian stopped DIR   as its ExecStopPost=: whatever ended the main process
#
# It lives through the loss of the SSH connection, of the network and of the reconciler.
# Nothing of what it needs is on a disk that could be full: DIR is below /run. So a power
# cut takes all of it away, and the host boots what it booted before: the boot default is
# set only after `confirmed`.
#
# DIR holds, each on one line:
#
#   new old       the toplevel to switch to, and the one to go back to
#   arm switch confirm rollback   seconds: for the keys to arrive; for the switch; from
#                 then on for somebody to confirm; for going back
#   active        the units that were active before, one a line
#   began         when this began, as systemd counts: in microseconds
#   kept          where the keys from before are kept aside: a folder in memory
#   go            exists once the keys are in place
#   phase         armed, switching, waiting, confirming, rolling-back
#   status        what switch-to-configuration exited with; 124 or 137: out of time
#   decision      a symbolic link; whoever makes it first has decided, since ln(1) does
#                 not replace one. `confirmed` or `rollback` when somebody said so; and
#                 going back too, by the guardian itself: `failed` is the switch,
#                 `expired` that nobody confirmed, `ended` that the guardian was
#   result        the last thing written: confirmed, boot-failed, rolled-back,
#                 rollback-failed, locked, reboot-first, not-started
#   log           what the commands printed
set -uf
umask 077
PATH=/run/current-system/sw/bin:/run/wrappers/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
cd "$2" || exit 1
profile=/nix/var/nix/profiles/system
roots=/nix/var/nix/gcroots

# The clock of the host may jump; the time since its boot does not.
uptime() {
    read -r up _ </proc/uptime
    printf '%s\n' "${up%%.*}"
}

write() { printf '%s\n' "$2" >"$1.part" && mv -f "$1.part" "$1"; }

phase() { write phase "$1"; }

# finish RESULT: the kept keys hold secrets and must not outlive the attempt.
finish() {
    rm -rf -- "$(cat kept)"
    write result "$1"
    exit 0
}

# Run a command with a limit in seconds; its output goes to the log and the journal.
bounded() {
    limit=$1
    shift
    timeout -k 5 "$limit" "$@" >command 2>&1 </dev/null
    outcome=$?
    cat command >>log
    cat command
    return "$outcome"
}

# --- keys ------------------------------------------------------------------------

# Whether a folder is where it says; /var/run leads to /run on every NixOS.
is_itself() {
    real=$(readlink -f -- "$1")
    [ "$real" = "$1" ] || [ "/var$real" = "$1" ]
}

# The index has, for each key, "file N PATH" or "none N PATH".
restore_keys() {
    [ -f keys ] || return 0
    folder=$(cat kept)
    while read -r was number path; do
        is_itself "${path%/*}" || continue
        if [ "$was" = none ]; then
            if [ -f "$path" ] && [ ! -L "$path" ]; then rm -f -- "$path"; fi
            continue
        fi
        temp=${path%/*}/.${path##*/}.reconciler.tmp
        cmp -s -- "$folder/$number" "$path" &&
            [ "$(stat -c %a:%u:%g "$folder/$number")" = "$(stat -c %a:%u:%g "$path")" ] &&
            continue # who watches it is not disturbed
        rm -f -- "$temp"
        cp -p -- "$folder/$number" "$temp" && mv -fT -- "$temp" "$path" ||
            echo "a key could not be put back: $path" >>log
    done <keys
}

# --- services that a switch overlooks ----------------------------------------------

# A switch restarts a changed service only if it is up when the switch looks. One that is
# just stopping, since its key is another one, comes up again meanwhile: as it was defined
# before. So whatever began after us and before systemd read the new definitions is
# restarted, if the two systems define it differently. Systemd tells that from 250 on.
restart_overlooked() {
    loaded=$(systemctl show --property=UnitsLoadTimestampMonotonic --value)
    began=$(cat began 2>/dev/null)
    overlooked=$(list_begun "${began:-0}" "${loaded:-0}" | while read -r unit; do
        defined=$(define "$1" "$unit")
        [ "$defined" != "$(define "$2" "$unit")" ] || continue
        printf '%s\n' "$defined" | grep -Eq "$left_alone" || printf '%s\n' "$unit"
    done)
    [ -n "$overlooked" ] || return 0
    # shellcheck disable=SC2086 # a list of unit names
    set -- $overlooked
    echo "restarting what began before its new definition: $*" | tee -a log
    bounded 60 systemctl restart -- "$@"
}

# What NixOS does not restart either, or not like this.
left_alone='^(X-ReloadIfChanged|X-OnlyManualStart|RefuseManualStop)=true$'
left_alone="$left_alone|^X-RestartIfChanged=false\$"

# A oneshot that is under way may be a job that must not run twice.
list_begun() {
    show_services | while IFS== read -r name value; do
        case $name in
        Id) unit=$value ;;
        Type) type=$value ;;
        ActiveState) state=$value ;;
        InactiveExitTimestampMonotonic) at=$value ;;
        '')
            case $state-$type in
            active-* | activating-[!o]*)
                if [ "$at" -gt "$1" ] && [ "$at" -lt "$2" ]; then
                    printf '%s\n' "$unit"
                fi
                ;;
            esac
            ;;
        esac
    done
}

# Print blocks with an empty line after each.
show_services() {
    systemctl show '*.service' \
        --property=Id,Type,ActiveState,InactiveExitTimestampMonotonic
    echo
}

# define SYSTEM UNIT: print the unit's file, or its template's, and what is added to it.
define() {
    for name in "$2" "${2%%@*}@.service"; do
        if [ -f "$1/etc/systemd/system/$name" ]; then
            cat "$1/etc/systemd/system/$name"
            break
        fi
    done
    if [ -d "$1/etc/systemd/system/$2.d" ]; then
        find -L "$1/etc/systemd/system/$2.d" -name '*.conf' -exec cat {} +
    fi
}

# --- going back ------------------------------------------------------------------

# The lock is free as soon as the switch that was killed is gone.
switch_back() {
    give_up=$(($(uptime) + $(cat rollback)))
    while :; do
        bounded "$(cat rollback)" "$(cat old)/bin/switch-to-configuration" test
        grep -q 'Could not acquire lock' command || return 0
        [ "$(uptime)" -lt "$give_up" ] || return 0
        sleep 1
    done
}

# Switching does not start what was stopped meanwhile; see switch-to-configuration(8).
wake_units() {
    missing=
    while read -r unit; do
        systemctl --quiet is-active "$unit" || missing="$missing $unit"
    done <active
    [ -n "$missing" ] || return 0
    # shellcheck disable=SC2086 # a list of unit names
    systemctl reset-failed -- $missing 2>/dev/null
    # shellcheck disable=SC2086
    bounded 60 systemctl start -- $missing
}

roll_back() {
    phase rolling-back
    restore_keys
    switch_back
    restart_overlooked "$(cat old)" "$(cat new)"
    wake_units
    ln -sfn -- "$(cat old)" "$roots/reconciler"
    if [ "$(readlink -f /run/current-system)" = "$(cat old)" ]; then
        finish rolled-back
    fi
    finish rollback-failed
}

# --- going on --------------------------------------------------------------------

confirm() {
    phase confirming
    before=$(readlink "$profile")
    if bounded 120 nix-env -p "$profile" --set "$(cat new)" &&
        bounded 300 "$(cat new)/bin/switch-to-configuration" boot; then
        rm -f -- "$roots/reconciler-before"
        finish confirmed
    fi
    # Else the profile would say that the host boots what its boot loader does not know.
    number=${before#system-}
    bounded 60 nix-env -p "$profile" --switch-generation "${number%-link}"
    finish boot-failed
}

decide() { ln -s "$1" decision 2>/dev/null; }

follow_decision() {
    case $(readlink decision) in
    confirmed) confirm ;;
    *) roll_back ;;
    esac
}

# wait_for FILE SECONDS: return whether it, or a decision, came.
wait_for() {
    give_up=$(($(uptime) + $2))
    until [ -e "$1" ] || [ -L decision ]; do
        [ "$(uptime)" -lt "$give_up" ] || return 1
        sleep 0.05
    done
}

undo_keys() {
    restore_keys
    ln -sfn -- "$(cat old)" "$roots/reconciler"
    finish "$1"
}

switch() {
    phase switching
    bounded "$(cat switch)" "$(cat new)/bin/switch-to-configuration" test
    status=$?
    case $status in
    0 | 4) restart_overlooked "$(cat new)" "$(cat old)" ;;
    esac
    write status "$status"
    case $status in
    0 | 4) return 0 ;; # 4: some unit failed; who looks at the host judges
    100) undo_keys reboot-first ;;
    esac
    # Nothing was done then: somebody else is switching.
    if grep -q 'Could not acquire lock' command; then undo_keys locked; fi
    decide failed
    follow_decision
}

run() {
    systemctl show --property=InactiveExitTimestampMonotonic --value \
        reconciler-activation >began
    phase armed
    wait_for go "$(cat arm)" || undo_keys not-started
    if [ -L decision ]; then undo_keys not-started; fi
    switch
    phase waiting
    # A link that leads nowhere: -e is false of it.
    wait_for decision "$(cat confirm)" || decide expired
    follow_decision
}

stopped() {
    [ -e result ] && exit 0
    case $(cat phase 2>/dev/null) in
    '' | armed) undo_keys not-started ;;
    esac
    decide ended
    follow_decision
}

"$1"
