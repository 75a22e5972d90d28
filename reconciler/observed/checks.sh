# Tries health checks, side by side, until each has passed or its time is over. POSIX sh;
# GNU or busybox tools; curl for HTTP, bash for TCP.
#
# Behind these lines stands one line "check ..." for each check, and `finish`. The answer
# has a line for each: its number, the hundredths of a second that it took, and what was
# wrong with the last try, which is nothing if it passed. "== end" tells a whole answer
# from one that was cut off.

LC_ALL=C
PATH=/run/current-system/sw/bin:/usr/bin:/bin:/usr/sbin:/sbin:$PATH
export LC_ALL PATH
set -f # no word is a pattern

# Of what is said the end is kept, on one line, and then comes the status. Who left a
# process behind that goes on talking is listened to for a moment, and then there is none.
# shellcheck disable=SC2016 # it is for another shell
BOUNDED='
{ (exec timeout -k 1 "$@" 2>&1); printf "\n== %s\n" "$?"; } 2>/dev/null |
    tail -c 600 | tr -c "\40-\176\200-\377" " "
'

# clock: set $now to hundredths of a second since the boot; no date can make it jump
clock() {
    read -r now _ </proc/uptime
    now=${now%.*}${now#*.}
}

# span HUNDREDTHS: set $seconds to the same in the form that timeout and sleep take
span() { seconds=$(($1 / 100)).$(($1 / 10 % 10))$(($1 % 10)); }

# bounded COMMAND...: run it for $left hundredths at most, with $input for its standard
# input; set $said, and $status to a number or to "late"
bounded() {
    span "$left"
    patient=$seconds
    span $((left + 150))
    clock
    started=$now
    said=$(
        printf %s "$input" |
            timeout -s KILL "$seconds" sh -c "$BOUNDED" sh "$patient" "$@" 2>/dev/null
    )
    clock
    status=late
    case $said in
        *'== '*)
            status=${said##*== }
            status=${status%% *}
            said=${said% == *}
            ;;
    esac
    # Of timeout, after SIGTERM and SIGKILL; unless somebody else sent that.
    case $status in
        124 | 137) if [ $((now - started)) -ge "$left" ]; then status=late; fi ;;
    esac
}

lacks() {
    if command -v "$1" >/dev/null 2>&1; then return 1; fi
    problem="cannot be checked: no $1 on the host"
    status='' hopeless=yes
}

try_command() {
    input=
    bounded "$@"
    case $status in
        0) ;;
        late) problem="did not end within $patient s: $said" ;;
        *) problem="exited with status $status: $said" ;;
    esac
}

# try_tcp HOST PORT
try_tcp() {
    if lacks bash; then return; fi
    input=
    # shellcheck disable=SC2016 # it is for bash
    bounded bash -c 'exec 3<>"/dev/tcp/$1/$2"' bash "$1" "$2"
    case $status in
        0) ;;
        late) problem="no connection within $patient s" ;;
        *) problem="no connection: ${said##*: }" ;;
    esac
}

# try_http STATUSES CONFIG: of curl, which takes it from its standard input, since
# arguments are seen by every user of the host
try_http() {
    if lacks curl; then return; fi
    input=$2
    bounded curl -q -K -
    case $status in
        0) ;;
        late)
            problem="no answer within $patient s"
            return
            ;;
        *)
            # Behind that curl explains what certificates are.
            said=${said%% More details here: *}
            problem="no answer: ${said% 000*}"
            return
            ;;
    esac
    code=${said%% *}
    case ${1:-any}:$code in
        any:[23]??) ;;
        any:*) problem="answered $code, not 200 to 399" ;;
        *) case " $1 " in
            *" $code "*) ;;
            *) problem="answered $code, not $1" ;;
        esac ;;
    esac
}

# check NUMBER PERIOD TIMEOUT WITHIN KIND ...: times in hundredths of a second
check() {
    number=$1 period=$2 patience=$3 within=$4 kind=$5
    shift 5
    clock
    began=$now ends=$((now + within)) hopeless= problem=
    while :; do
        clock
        tried=$now left=$((ends - now)) earlier=$problem problem=
        if [ "$left" -gt "$patience" ]; then left=$patience; fi
        if [ "$left" -lt 1 ]; then left=1; fi
        "try_$kind" "$@"
        # A try that was cut short knows less than one that was not.
        if [ "$problem" ] && [ "$status" = late ] && [ "$left" -lt "$patience" ]; then
            problem=${earlier:-$problem}
        fi
        clock
        next=$((tried + period))
        if [ "$next" -lt "$now" ]; then next=$now; fi
        if [ -z "$problem" ] || [ "$hopeless" ] || [ "$next" -ge "$ends" ]; then break; fi
        span $((next - now))
        sleep "$seconds"
    done
    # In one write, so that no two answers mix.
    printf '%s %s %s\n' "$number" $((now - began)) "$problem"
}

finish() {
    wait
    echo '== end'
}
