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
