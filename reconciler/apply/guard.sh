# Talk to the guardian of an attempt; see guardian.sh. Comes after system-manager.sh,
# system.sh, folder.sh, launch.sh.
#
#   sh guard.sh start ATTEMPT SECONDS LINES SIZE NEW VARIANT OLD ARM SWITCH CONFIRM \
#       ROLLBACK KEY…
#   sh guard.sh boot ATTEMPT SECONDS LINES SIZE NEW VARIANT OLD ARM SWITCH CONFIRM \
#       ROLLBACK                                  have the host boot NEW, which runs
#   sh guard.sh first-boot ATTEMPT SECONDS LINES BOOT SIZE NEW VARIANT OLD ARM SWITCH \
#       CONFIRM ROLLBACK                          boot into NEW, if this is still BOOT
#   sh guard.sh go ATTEMPT SECONDS LINES          the keys are in place: switch
#   sh guard.sh state ATTEMPT SECONDS LINES
#   sh guard.sh bury ATTEMPT SECONDS LINES        unless it has begun, it is never to
#   sh guard.sh confirmed ATTEMPT SECONDS LINES   decide, unless somebody has
#   sh guard.sh rollback ATTEMPT SECONDS LINES    the same, the other way
#
# VARIANT is where in NEW that system is that is switched to: "." or a specialisation.
# `start` and `boot` get guardian.sh, of SIZE bytes, through standard input; with `later`
# as SECONDS, keys are to come and `go` to be said: it then waits for some seconds until
# the system has said whether it can be switched to. Else each waits for at most SECONDS,
# `start`, `go` and `state` until the switch is over, the others until the attempt is; and
# prints what the log has beyond its first LINES lines, and a last line
#
#   guardian PHASE STATUS DECISION RESULT UNIT VERB   with `-` for what is not there
#
# UNIT is what systemd says of the unit; `-` where it cannot be asked, as while it is
# executed anew: that says nothing about the unit. `gone` as PHASE means that the folder
# of the attempt is not there: it was never started, or the host was booted since.
# `start` and `boot` exit with 3 and say who, if somebody else is switching the host; with
# 4 and why, if they cannot begin. In both cases nothing was touched, and nothing will be.
# However else they end, it may have begun.
set -uf
umask 077
PATH=/run/current-system/sw/bin:/run/wrappers/bin:/usr/sbin:/usr/bin:/sbin:/bin
PATH=$PATH:/nix/var/nix/profiles/default/bin # where Nix is on other distributions
export PATH
verb=$1 attempt=$2 wait=$3 lines=$4
shift 4
unit=reconciler-activation
base=/run/reconciler
dir=$base/$attempt
first=/nix/var/nix/reconciler-first-boot
unconfirmed=/nix/var/nix/reconciler-unconfirmed
kept_at=10 # folders of attempts that are over: somebody may yet ask how they ended

# refuse STATUS TEXT: and see to it that an earlier start of ours does not begin either.
refuse() {
    bury
    printf '%s\n' "$2" >&2
    exit "$1"
}

bury() {
    mkdir -p "$base" && mkdir -- "$dir.dead" || return
    echo not-started >"$dir.dead/result"
    : >"$dir.dead/log"
    # Fails where it has begun meanwhile: a folder that is not empty stays.
    mv -T -- "$dir.dead" "$dir" 2>/dev/null || rm -rf -- "$dir.dead"
}

# In tenths of seconds since the boot, which no clock jump reaches.
now() {
    read -r up _ </proc/uptime
    up=${up%?}
    printf '%s\n' "${up%.*}${up#*.}"
}

state_of() { timeout 3 systemctl is-active "$1" 2>/dev/null; }

# ask_whether_up UNIT: 0 if it is or on its way, 1 if it is not; 2 if nobody answers.
ask_whether_up() {
    case $(state_of "$1") in
    active | activating | deactivating | reloading | refreshing | maintenance) return 0 ;;
    inactive | failed) return 1 ;;
    *) return 2 ;;
    esac
}

# The same, but ask again for some seconds: systemd that is executed anew is soon back.
whether_up() {
    until=$(($(now) + 60))
    while
        ask_whether_up "$1"
        found=$?
        [ "$found" -eq 2 ] && [ "$(now)" -lt "$until" ]
    do
        sleep 0.1
    done
    return "$found"
}

is_down() {
    whether_up "$1"
    [ $? -eq 1 ]
}

refuse_if_busy() {
    # The unit of an attempt that is over may take a moment to go.
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        whether_up "$unit" || break
        sleep 0.1
    done
    refuse_if_up "$unit" "another activation is under way ($unit.service)"
    refuse_if_up nixos-rebuild-switch-to-configuration "somebody is running nixos-rebuild"
    if ! is_nixos; then
        refuse_if_up system-manager-upgrade "it is upgrading itself (system.autoUpgrade)"
    fi
}

refuse_if_up() { # UNIT TEXT
    whether_up "$1"
    case $? in
    0) refuse 3 "$2" ;;
    2) refuse 4 "systemd does not say whether $1 is there" ;;
    esac
}

refuse_if_not_whole() {
    lacking=$(why_not_whole "$new" "$variant")
    if [ -n "$lacking" ]; then refuse 4 "$lacking"; fi
}

# --- what is left of others ----------------------------------------------------------

# Somebody may have killed a guardian together with what should have come after it, and
# whoever started it may be gone, or call this host by another name: it is ended first.
end_what_was_left() {
    for other in $(folders); do
        [ -e "$other/guardian" ] && [ ! -e "$other/result" ] || continue
        (dir=$other launch stopped) || true
        refuse 3 "an attempt that was cut off is being taken back (${other##*/})"
    done
}

# The folders of attempts, the oldest first.
folders() {
    find "$base" -mindepth 1 -maxdepth 1 -type d ! -name '.*' ! -name '*.new' \
        ! -name '*.dead' -printf '%T@ %p\n' 2>/dev/null | sort -n | cut -d ' ' -f 2-
}

# What was left half-made is nobody's: we hold the lock. Only the newest that ended stay.
remove_old() {
    set +f
    rm -rf -- "$base"/*.new "$base"/*.dead
    for one in /run/keys/.reconciler-* "$base"/.reconciler-*; do
        owner=$base/${one##*/.reconciler-}
        if [ ! -d "$owner" ] || [ -e "$owner/result" ]; then rm -rf -- "$one"; fi
    done
    set -f
    folders | head -n "-$kept_at" | while read -r one; do
        rm -rf -- "$one"
    done
}

# --- starting ------------------------------------------------------------------------

# Copies of the keys as they are, in memory that is not swapped where there is such.
keep_keys() {
    number=0
    for path; do
        number=$((number + 1))
        (keep_key "$kept/$number") || return
    done >"$dir.new/keys"
}

# What is neither a file nor missing is somebody else's, and stays as it is.
keep_key() {
    name=${path##*/}
    walk "${path%/*}" || return 0
    if [ -z "$left" ] && { [ -L "./$name" ] || [ -e "./$name" ]; }; then
        [ -f "./$name" ] || return 0
        trap leave_room EXIT
        enter_room || return
        found=$held_file
        if ! hold "$name"; then # where the file system has no second names
            [ "$ours" = yes ] || return 0
            found=../$name
        fi
        cp -p -- "$found" "$1" && printf 'file %s %s\n' "$number" "$path"
    else
        printf 'none %s %s\n' "$number" "$path"
    fi
}

# A service that starts just now may be a job that must not run twice.
list_active() {
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        listed=$(timeout 10 systemctl list-units --no-legend --plain --full \
            --state=active --type=service,socket,timer,path 2>/dev/null) && break
        listed=
        sleep 0.2
    done
    [ -n "$listed" ] || return 1
    printf '%s\n' "$listed" | while read -r name _; do
        case $name in
        "$unit".* | reconciler-bell-* | run-*.service | user@*.service | session-*) ;;
        *) printf '%s\n' "$name" ;;
        esac
    done
}

# The answer to systemd-run is lost where systemd is executed anew meanwhile; whether the
# unit is there, it knows ever after. One that has ended has left a result.
launch_once() {
    for _ in 1 2 3 4 5; do
        launch "$1" && return
        [ -e "$dir/phase" ] && return
        is_down "$unit" || return
        sleep 0.2
    done
    return 1
}

prepare() {
    size=$1 new=$2 variant=$3 old=$4 arm=$5 switch=$6 confirm=$7 rollback=$8
    shift 8
    end_what_was_left
    remove_old
    refuse_if_not_whole
    old=$(system_before "$old")
    kept=$base
    if [ -d /run/keys ]; then kept=/run/keys; fi
    kept=$kept/.reconciler-$attempt
    mkdir -- "$dir.new" "$kept" && cat >"$dir.new/guardian" ||
        give_up "there is no room below /run"
    # Standard input ends early where the connection does.
    if [ "$(wc -c <"$dir.new/guardian")" -ne "$size" ]; then
        give_up "the guardian did not arrive whole"
    fi
    keep_keys "$@" || give_up "the keys of before could not be kept aside"
    list_active >"$dir.new/active" || give_up "systemd does not say what runs"
    total=$((arm + 2 * switch + confirm + 2 * rollback))
    runs=$(readlink -f "$new/$variant")
    for name in new runs old arm switch confirm rollback total kept verb; do
        eval "value=\$$name"
        printf '%s\n' "$value" >"$dir.new/$name" || give_up "there is no room below /run"
    done
    : >"$dir.new/log"
    if [ "$wait" != later ]; then : >"$dir.new/go"; fi
    keep_off_collector "$new" reconciler &&
        keep_off_collector "$old" reconciler-before &&
        mv -T -- "$dir.new" "$dir" || give_up "the disk of /nix takes nothing"
}

give_up() {
    rm -rf -- "$dir.new" "$kept"
    refuse 4 "$1"
}

start() {
    mkdir -p "$base" || refuse 4 "$base cannot be made"
    # Two of these may run at once: an earlier one of ours whose answer was lost.
    exec 9>"$base/.lock"
    if ! flock -w 10 9; then
        echo "another activation is about to begin" >&2
        exit 5
    fi
    if [ -e "$dir/result" ]; then return; fi
    if [ ! -d "$dir" ]; then
        use_kind "$2"
        refuse_if_busy
        prepare "$@"
    fi
    # An earlier start of ours may have got so far and no further.
    if [ ! -e "$dir/phase" ] && is_down "$unit" && [ ! -e "$dir/phase" ] &&
        ! launch_once run; then
        rm -rf -- "$(cat "$dir/kept")" "$dir"
        refuse 4 "systemd does not start it"
    fi
    exec 9>&-
}

# --- waiting and telling -------------------------------------------------------------

# wait_while SECONDS PHASE…: until the phase is another one or there is a result. Whether
# the unit is still there is asked for now and then only: systemd is busy with a switch.
wait_while() {
    give_up_at=$(($(now) + 10 * $1)) looks=0
    shift
    while [ "$(now)" -lt "$give_up_at" ] && [ ! -e "$dir/result" ]; do
        if [ $((looks % 10)) -eq 0 ]; then
            ask_whether_up "$unit"
            [ $? -ne 1 ] || return
        fi
        looks=$((looks + 1)) phase=
        if [ -r "$dir/phase" ]; then read -r phase <"$dir/phase"; fi
        case " $* " in
        *" $phase "*) ;;
        *) return ;;
        esac
        sleep 0.05
    done
}

value_of() {
    found=-
    if [ -e "$dir/$1" ]; then found=$(cat "$dir/$1"); fi
    printf '%s' "${found:--}"
}

tell() {
    # Before the rest: what a unit has left that is down is final.
    active=$(state_of "$unit")
    if [ ! -d "$dir" ]; then
        echo "guardian gone - - - - -"
        return
    fi
    decision=$(readlink "$dir/decision")
    told="$(value_of phase) $(value_of status) ${decision:--} $(value_of result)"
    # A last line without an end is not whole yet.
    whole=$(wc -l <"$dir/log")
    head -n "$whole" "$dir/log" | tail -n "+$((lines + 1))"
    echo "guardian $told ${active:--} $(value_of verb)"
}

# A host that was booted into a system, and did not notice by itself.
if [ -e "$first/guardian" ]; then sh "$first/guardian" arrive "$first" >&2; fi
if [ -e "$unconfirmed/guardian" ]; then
    sh "$unconfirmed/guardian" came_up "$unconfirmed" >&2
fi
if [ "$verb" = bury ] && [ ! -d "$dir" ]; then bury; fi
case $verb in
start | boot) start "$@" ;;
first-boot)
    # Asked once more after the reboot, it must not reboot again.
    boot=$1
    shift
    if [ "$(cat /proc/sys/kernel/random/boot_id)" = "$boot" ]; then start "$@"; fi
    ;;
esac
if [ ! -d "$dir" ]; then
    tell
    exit 0
fi
case $verb in
go) : >"$dir/go" ;;
boot) wait_while "$wait" '' armed confirming ;;
first-boot) wait_while "$wait" '' booting ;;
confirmed | rollback)
    ln -s "$verb" "$dir/decision" 2>/dev/null
    if [ ! -e "$dir/result" ] && is_down "$unit" && [ ! -e "$dir/result" ]; then
        launch stopped
    fi
    # A host that is about to go down has no time to wait.
    rolling_back=rolling-back
    if [ "$(value_of verb)" = first-boot ]; then rolling_back=; fi
    wait_while "$wait" '' armed switching booting rebooting arriving waiting confirming \
        "$rolling_back"
    ;;
esac
case $verb in
start | go | state)
    if [ "$wait" = later ]; then
        wait_while 5 ''
    else
        wait_while "$wait" '' armed switching booting rebooting arriving
    fi
    ;;
esac
tell
