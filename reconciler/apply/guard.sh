# Talk to the guardian of an attempt; see guardian.sh.
#
#   sh guard.sh start ATTEMPT SECONDS SIZE NEW OLD ARM SWITCH CONFIRM ROLLBACK KEY…
#   sh guard.sh go ATTEMPT SECONDS          the keys are in place: switch
#   sh guard.sh state ATTEMPT SECONDS
#   sh guard.sh bury ATTEMPT SECONDS        unless it has begun, it is never to
#   sh guard.sh confirmed ATTEMPT SECONDS   decide, unless somebody has
#   sh guard.sh rollback ATTEMPT SECONDS    the same, the other way
#
# `start` gets guardian.sh, of SIZE bytes, through standard input; with `later` as
# SECONDS, keys are to come and `go` to be said. Each then waits for at most SECONDS,
# the first three until the switch is over, the others until the attempt is; and prints
# the log and a last line
#
#   guardian PHASE STATUS DECISION RESULT UNIT      with `-` for what is not there
#
# UNIT is what systemd says of the unit, and `gone` as PHASE means that the folder of the
# attempt is not there: it was never started, or the host was booted since.
# `start` exits with 3 and says who, if somebody else is switching the host.
set -uf
umask 077
PATH=/run/current-system/sw/bin:/run/wrappers/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
verb=$1 attempt=$2 wait=$3
shift 3
unit=reconciler-activation
base=/run/reconciler
dir=$base/$attempt

say() { printf '%s\n' "$1" >&2; }

# is_up UNIT…: whether one of them is active or on its way.
is_up() {
    case $(systemctl is-active "$@" 2>/dev/null) in
    *activating* | *reloading* | active*) return 0 ;;
    *) return 1 ;;
    esac
}

refuse_if_busy() {
    # The unit of an attempt that is over may take a moment to go.
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        is_up "$unit" || break
        sleep 0.1
    done
    if is_up "$unit"; then
        say "another activation is under way ($unit.service)"
        exit 3
    elif is_up nixos-rebuild-switch-to-configuration; then
        say "somebody is running nixos-rebuild"
        exit 3
    fi
}

# A copy that was cut off can look like a whole one (github.com/NixOS/nix/issues/13367).
refuse_if_not_whole() {
    if [ ! -f "$new/nixos-version" ]; then
        say "$new is not whole on this host"
        exit 1
    elif [ ! -x "$new/bin/switch-to-configuration" ]; then
        say "this system cannot be switched to: system.switch.enable is false"
        exit 1
    fi
}

# Copies of the keys as they are, in memory that is not swapped where there is such.
keep_keys() {
    number=0
    for path; do
        number=$((number + 1))
        if [ -f "$path" ] && [ ! -L "$path" ]; then
            cp -p -- "$path" "$kept/$number" || exit 1
            printf 'file %s %s\n' "$number" "$path"
        elif [ ! -e "$path" ] && [ ! -L "$path" ]; then
            printf 'none %s %s\n' "$number" "$path"
        fi
    done >"$dir.new/keys"
}

list_active() {
    # A service that starts just now may be a job that must not run twice.
    systemctl list-units --no-legend --plain --full --state=active \
        --type=service,socket,timer,path |
        while read -r name _; do
            case $name in
            "$unit".* | run-*.service | user@*.service | session-*) ;;
            *) printf '%s\n' "$name" ;;
            esac
        done
}

# A guardian that was ended together with what should have come after it is started
# again, to go by the decision. Without default dependencies: going back starts targets,
# which would wait for the end of the unit that does it, if somebody is stopping that.
launch() {
    # The limit is far beyond all others: it only ends a guardian that went mad.
    systemd-run --quiet --collect --unit="$unit" --service-type=exec \
        --description="reconciler: $attempt" --setenv=PATH="$PATH" \
        --property=KillMode=mixed \
        --property=DefaultDependencies=no \
        --property=RuntimeMaxSec="$(($(cat "$dir/total") + 900))" \
        --property=TimeoutStopSec="$(($(cat "$dir/rollback") + 600))" \
        --property=ExecStopPost="/bin/sh $dir/guardian stopped $dir" \
        --property=OOMScoreAdjust=-900 \
        /bin/sh "$dir/guardian" "$1" "$dir" >&2
}

start() {
    size=$1 new=$2 old=$3 arm=$4 switch=$5 confirm=$6 rollback=$7
    shift 7
    [ -d "$dir" ] && return # an earlier start of ours got through
    looks=20
    while [ -d "$dir.new" ] && [ "$looks" -gt 0 ]; do # or is about to
        looks=$((looks - 1))
        sleep 0.1
    done
    [ -d "$dir" ] && return
    refuse_if_busy
    refuse_if_not_whole
    mkdir -p "$base" || exit 1
    kept=$base
    if [ -d /run/keys ]; then kept=/run/keys; fi
    kept=$kept/.reconciler-$attempt
    # What ended before is on record, and what did not is followed before a new start.
    set +f
    for left in "$base"/* /run/keys/.reconciler-*; do rm -rf -- "$left"; done
    set -f
    mkdir -- "$dir.new" "$kept" && cat >"$dir.new/guardian" || exit 1
    # Standard input ends early where the connection does.
    if [ "$(wc -c <"$dir.new/guardian")" -ne "$size" ]; then
        rm -rf -- "$dir.new" "$kept"
        say "the guardian did not arrive whole"
        exit 1
    fi
    keep_keys "$@"
    list_active >"$dir.new/active"
    total=$((arm + switch + confirm + 2 * rollback))
    for name in new old arm switch confirm rollback total kept; do
        eval "value=\$$name"
        printf '%s\n' "$value" >"$dir.new/$name" || exit 1
    done
    : >"$dir.new/log"
    if [ "$wait" != later ]; then : >"$dir.new/go"; fi
    ln -sfn -- "$new" /nix/var/nix/gcroots/reconciler &&
        ln -sfn -- "$old" /nix/var/nix/gcroots/reconciler-before &&
        mv -T -- "$dir.new" "$dir" || exit 1
    launch run || exit 1
}

# wait_while SECONDS PHASE…: until the phase is another one or there is a result.
wait_while() {
    looks=$(($1 * 20))
    shift
    while [ "$looks" -gt 0 ] && [ ! -e "$dir/result" ] && is_up "$unit"; do
        case " $* " in
        *" $(cat "$dir/phase" 2>/dev/null) "*) ;;
        *) return ;;
        esac
        looks=$((looks - 1))
        sleep 0.05
    done
}

value_of() {
    found=-
    if [ -e "$dir/$1" ]; then found=$(cat "$dir/$1"); fi
    printf '%s' "${found:--}"
}

tell() {
    if [ ! -d "$dir" ]; then
        echo "guardian gone - - - -"
        return
    fi
    cat "$dir/log" 2>/dev/null
    decision=$(readlink "$dir/decision")
    active=$(systemctl is-active "$unit" 2>/dev/null)
    echo "guardian $(value_of phase) $(value_of status) ${decision:--}" \
        "$(value_of result) ${active:--}"
}

bury() {
    mkdir -p "$base" && mkdir -- "$dir.dead" || return
    echo not-started >"$dir.dead/result"
    # Fails where it has begun meanwhile: a folder that is not empty stays.
    mv -T -- "$dir.dead" "$dir" 2>/dev/null || rm -rf -- "$dir.dead"
}

if [ "$verb" = bury ] && [ ! -d "$dir" ]; then bury; fi
if [ ! -d "$dir" ] && [ "$verb" != start ]; then
    tell
    exit 0
fi
case $verb in
start) start "$@" ;;
go) : >"$dir/go" ;;
confirmed | rollback)
    ln -s "$verb" "$dir/decision" 2>/dev/null
    if [ ! -e "$dir/result" ] && ! is_up "$unit"; then launch stopped; fi
    wait_while "$wait" '' armed switching waiting confirming rolling-back
    ;;
esac
case $verb in
start | go | state) if [ "$wait" != later ]; then wait_while "$wait" '' armed switching; fi ;;
esac
tell
