# The guardian: what a host itself does while it is switched to another system. Comes
# after system-manager.sh, system.sh, folder.sh, launch.sh, first-boot.sh, unconfirmed.sh.
#
#   sh guardian run DIR       as the main process of the unit reconciler-activation
#   sh guardian stopped DIR   as its ExecStopPost=: whatever ended the main process
#
# It lives through the loss of the SSH connection, of the network and of the reconciler.
# Nothing of what it needs is on a disk that could be full: DIR is below /run. So a power
# cut takes all of it away, and the host boots what it booted before: the boot default is
# set only after `confirmed`. Where it is not NixOS, it goes back by unconfirmed.sh.
#
# DIR holds, each on one line:
#
#   verb          start: to switch; boot: only to have the host boot what it runs;
#                 first-boot: to boot into what cannot be switched to
#   new old       the toplevel to switch to and to boot, and the one to go back to
#   runs          what is switched to: `new`, or one of its specialisations
#   arm switch confirm rollback   seconds: for the keys to arrive; for the switch; from
#                 then on for somebody to confirm; for going back
#   active        the units that were active before, one a line
#   began         when this began, as systemd counts: in microseconds
#   kept          where the keys from before are kept aside: a folder in memory
#   go            exists once the keys are in place
#   phase         armed, switching, waiting, confirming, rolling-back; of a first boot
#                 booting, rebooting, and then arriving
#   status        what switch-to-configuration exited with; 124 or 137: out of time. Of
#                 system-manager 1 too, if it ended well and did not do all of it
#   decision      a symbolic link; whoever makes it first has decided, since ln(1) does
#                 not replace one. `confirmed` or `rollback` when somebody said so; and
#                 going back too, by the guardian itself: `failed` is the switch,
#                 `expired` that nobody confirmed, `ended` that the guardian was
#   result        the last thing written: confirmed, boot-failed, rolled-back,
#                 rollback-failed, locked, refused, reboot-first, not-started,
#                 not-booted
#   before        what the profile was before it was set: its link, the system, and the
#                 highest number of a generation
#   log           what the commands printed: of each the beginning and the end
set -uf
umask 077
PATH=/run/current-system/sw/bin:/run/wrappers/bin:/usr/sbin:/usr/bin:/sbin:/bin
PATH=$PATH:/nix/var/nix/profiles/default/bin # where Nix is on other distributions
export PATH
cd "$2" || exit 1
use_kind "$(cat new)"

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
log=log
commands=0
bounded() {
    limit=$1
    shift
    said_from=$(wc -c <"$log")
    commands=$((commands + 1))
    pipe=pipe.$$.$commands
    if mkfifo "$pipe"; then
        keep "$pipe" <"$pipe" &
        timeout -k 5 "$limit" "$@" >"$pipe" 2>&1 </dev/null
        outcome=$?
        wait_for_end "$pipe"
    else
        timeout -k 5 "$limit" "$@" >/dev/null 2>&1 </dev/null
        outcome=$?
    fi
    said
    return "$outcome"
}

# What a command leaves running may keep its output open: that is not waited for.
wait_for_end() {
    looks=100
    while [ -e "$1" ] && [ "$looks" -gt 0 ]; do
        looks=$((looks - 1))
        sleep 0.02
    done
}

# What the last command printed.
said() { tail -c "+$((said_from + 1))" "$log"; }

# /run is memory, and a command may print without end. Standard input goes to the log, as
# it comes, as long as it is short; of the rest, the end is added when it is over.
piece=32768 # bytes
keep() {
    copy_piece "$log" oflag=append conv=notrunc
    beyond=0
    while copy_piece "$1.new" && [ -s "$1.new" ]; do
        beyond=$((beyond + 1))
        mv -f "$1.last" "$1.before" 2>/dev/null
        mv -f "$1.new" "$1.last"
    done
    if [ "$beyond" -gt 2 ]; then
        printf '\n… %s kB are left out …\n' "$(((beyond - 2) * piece / 1024))" >>"$log"
    fi
    cat "$1.before" "$1.last" >>"$log" 2>/dev/null
    # Each line of the log has an end, so that it is told.
    if [ -n "$(tail -c 1 "$log")" ]; then echo >>"$log"; fi
    rm -f "$1" "$1".*
    cat >/dev/null # where there is no room: who prints must not notice
}

copy_piece() {
    to=$1
    shift
    dd bs=4096 iflag=count_bytes count="$piece" of="$to" "$@" 2>/dev/null
}

# Ask systemd until it answers, for some seconds: while it is executed anew, it does not.
ask() {
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
        answer=$(timeout 20 systemctl "$@" 2>/dev/null) && [ -n "$answer" ] && break
        answer=
        sleep 0.3
    done
    [ -n "$answer" ] || return 1
    printf '%s\n' "$answer"
}

# --- keys ------------------------------------------------------------------------

# The index has, for each key, "file N PATH" or "none N PATH".
restore_keys() {
    [ -f keys ] || return 0
    while read -r was number path; do
        (restore_key "$(cat kept)/$number") ||
            echo "a key could not be put back: $path" >>log
    done <keys
}

# Whoever watches a file that is as it was is not disturbed.
restore_key() {
    name=${path##*/}
    walk "${path%/*}" || return
    if [ -n "$left" ]; then
        [ "$was" = none ]
    elif [ "$was" = none ]; then
        [ -L "./$name" ] || [ ! -f "./$name" ] || rm -f -- "./$name"
    else
        trap leave_room EXIT
        enter_room || return
        if ! hold "$name" || ! is_same "$1" "$held_file"; then
            cp -p -- "$1" "$fresh_file" && place "$name"
        fi
    fi
}

is_same() {
    [ "$(stat -c '%s:%a:%u:%g' "$1")" = "$(stat -c '%s:%a:%u:%g' "$2")" ] &&
        cmp -s -- "$1" "$2"
}

# --- services that a switch overlooks ----------------------------------------------

# A switch restarts a changed service only if it is up when the switch looks. One that is
# just stopping, since its key is another one, comes up again meanwhile: as it was defined
# before. So whatever began after us and before systemd read the new definitions is
# restarted, if the two systems define it differently. Systemd tells that from 250 on.
restart_overlooked() {
    if ! is_nixos; then return; fi # it reloads or restarts what changed, up or not
    if ! loaded=$(ask show --property=UnitsLoadTimestampMonotonic --value) ||
        ! shown=$(show_services); then
        echo "systemd does not say what began before its new definition" >>log
        return
    fi
    overlooked=$(list_begun "$(cat began)" "$loaded" | while read -r unit; do
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
    printf '%s\n\n' "$shown" | while IFS== read -r name value; do
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

# Print blocks with an empty line between them.
show_services() {
    ask show '*.service' --property=Id,Type,ActiveState,InactiveExitTimestampMonotonic
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

# Going back is tried again where it did not end, for as long as there is time: systemd
# goes on to stop what takes long. The lock is free as soon as the switch that was killed
# is gone. No check may keep a host from what it ran before.
switch_back() {
    give_up=$(($(uptime) + 2 * $(cat rollback)))
    tries=6
    while left=$((give_up - $(uptime))) && [ "$left" -gt 0 ] && [ "$tries" -gt 0 ]; do
        [ "$left" -lt "$(cat rollback)" ] || left=$(cat rollback)
        activate_again "$left" "$(cat old)" "$tries"
        went=$?
        if is_back && [ "$went" -ne 124 ] && [ "$went" -ne 137 ]; then return; fi
        said | grep -q 'Could not acquire lock' || tries=$((tries - 1))
        sleep 1
        ask show --property=Version >/dev/null # without it, a switch fails at once
    done
}

is_back() { [ "$(running_system)" = "$(cat old)" ]; }

# Switching does not start what was stopped meanwhile; see switch-to-configuration(8).
wake_units() {
    missing=$(list_missing) || return 0
    [ -n "$missing" ] || return 0
    # shellcheck disable=SC2086 # a list of unit names
    systemctl reset-failed -- $missing 2>/dev/null
    # shellcheck disable=SC2086
    bounded 60 systemctl start -- $missing
}

# What was active and is not, in one line. Where systemd does not say: all of it, since to
# start what is active does nothing.
list_missing() {
    [ -s active ] || return 1
    # shellcheck disable=SC2046 # a list of unit names
    shown=$(ask show --property=Id,ActiveState -- $(cat active)) ||
        shown=$(sed 's/.*/Id=&\nActiveState=unknown/' active)
    printf '%s\n' "$shown" | while IFS== read -r name value; do
        case $name-$value in
        Id-*) unit=$value ;;
        ActiveState-active | ActiveState-reloading | ActiveState-refreshing) ;;
        ActiveState-*) printf '%s ' "$unit" ;;
        esac
    done
}

roll_back() {
    phase rolling-back
    if is_first_boot; then boot_back; fi
    restore_keys
    echo "going back to $(cat old)" >>log
    switch_back
    restart_overlooked "$(cat old)" "$(cat runs)"
    wake_units
    keep_off_collector "$(cat old)" reconciler
    if is_back; then
        forget_unconfirmed
        finish rolled-back
    fi
    finish rollback-failed
}

# --- going on --------------------------------------------------------------------

# It may be done a second time, after somebody killed it.
confirm() {
    phase confirming
    note_boot
    if set_boot; then
        forget_unconfirmed
        rm -f -- "$roots/reconciler-before"
        # Also one that was left: it would take this back.
        if is_first_boot || [ -e "$first" ]; then forget_watch; fi
        finish confirmed
    fi
    take_boot_back
    forget_unconfirmed
    finish boot-failed
}

note_boot() {
    [ ! -e before ] && [ -L "$profile" ] || return 0
    write before "$(readlink "$profile") $(readlink -f "$profile") $(newest)"
}

set_boot() { set_default "$(cat new)"; }

# Else the profile would say that the host boots what its boot loader does not know. And
# a boot loader's program that failed half-way may have left nothing that boots, so the
# former one has its turn; without the generation that is too much, if one was made.
take_boot_back() {
    [ -e before ] || return 0
    read -r link system highest <before
    made=$(cat made 2>/dev/null || readlink "$profile")
    [ "$link" != "$made" ] || is_first_boot || return 0
    bounded 60 nix-env -p "$profile" --switch-generation "$(number_of "$link")"
    if [ "$(readlink "$profile")" = "$link" ] && [ "$(number_of "$made")" -gt "$highest" ]
    then
        bounded 60 nix-env -p "$profile" --delete-generations "$(number_of "$made")"
    fi
    set_loader "$system" NIXOS_NO_CHECK=1 || {
        echo "the boot loader could not be set back either" | tee -a log
        return 1
    }
    [ "$(readlink "$profile")" = "$link" ]
}

number_of() {
    number=${1##*"${profile##*/}"-}
    printf '%s\n' "${number%-link}"
}

# The highest number of a generation that there is.
newest() {
    found=$(find "${profile%/*}" -maxdepth 1 -name "${profile##*/}-*-link" |
        while read -r link; do number_of "$link"; done | sort -n | tail -n 1)
    printf '%s\n' "${found:-0}"
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
    keep_off_collector "$(cat old)" reconciler
    forget_unconfirmed
    finish "$1"
}

# Before anything is touched, keys included: what the system itself says to a switch. One
# from before NixOS had such checks knows no `check`, and says how it is used.
check() {
    log=check
    : >check
    ask_system "$(cat switch)" "$(cat runs)" >&2
    went=$?
    log=log
    if [ "$went" -eq 0 ] || grep -q '^Usage: ' check; then return; fi
    cat check >>log
    if grep -q 'Could not acquire lock' check; then undo_keys locked; fi
    undo_keys refused
}

switch() {
    keep_unconfirmed || undo_keys refused
    phase switching
    activate "$(cat switch)" "$(cat runs)"
    status=$?
    case $status in
    0 | 2 | 4) restart_overlooked "$(cat runs)" "$(cat old)" ;;
    esac
    write status "$status"
    case $status in
    # 4: some unit failed; 2: a snippet of the activation script did, and it may have
    # failed before as well. Who looks at the host judges.
    0 | 2 | 4) return 0 ;;
    100) undo_keys reboot-first ;;
    esac
    # Nothing was done then: somebody else is switching.
    if said | grep -q 'Could not acquire lock'; then undo_keys locked; fi
    if said | grep -q '^Pre-switch checks failed'; then undo_keys refused; fi
    decide failed
    follow_decision
}

run() {
    if [ "$(cat verb)" = boot ]; then
        decide confirmed
        follow_decision
    fi
    if is_first_boot; then first_boot; fi
    ask show --property=InactiveExitTimestampMonotonic --value \
        reconciler-activation >began || echo "$(uptime)000000" >began
    check
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
    if [ "$(cat verb)" = boot ]; then confirm; fi
    if is_first_boot; then stopped_first_boot; fi
    case $(cat phase 2>/dev/null) in
    '' | armed) undo_keys not-started ;;
    esac
    decide ended
    follow_decision
}

"$1"
