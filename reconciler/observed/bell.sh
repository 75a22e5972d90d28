# Says "look" whenever something on this host may have changed, until its standard input
# ends; never what it was. POSIX sh; systemd 245 or newer.
#
# The lines before this one set $beat, the seconds between two empty lines that say that
# the host is alive; and the positional parameters, the folders that are watched. "ready"
# is said once all of it works: what PID 1 logged of our own unit has come back to us.

LC_ALL=C
PATH=/run/current-system/sw/bin:/usr/bin:/bin:/usr/sbin:/sbin:$PATH
export LC_ALL PATH
set -f # no name is a pattern

say() { printf '%s\n' "$1"; }

name=reconciler-bell-$$

# What only inotify sees PID 1 watches for us: it logs that it starts what does nothing.
# That takes a moment, so that a burst is one start, and its end rings again.
watch() {
    for folder; do
        shift
        set -- "$@" "--path-property=PathChanged=$folder"
    done
    timeout 20 systemd-run --quiet --collect --unit="$name" --description="$name" \
        --property=StartLimitIntervalSec=0 "$@" sleep 0.3 2>&1 </dev/null
}

# Whatever PID 1 does, it logs: jobs, exits, reloads, a clock that is set, a shutdown.
# The first line of a burst rings, and so does its end: half a second later all that was
# skipped meanwhile has happened.
rings() {
    # The line before all others says that the journal is being followed.
    if read -r line && watch "$@"; then
        listen
    fi
    kill $$ 2>/dev/null # nothing rings any more
}

listen() {
    ready='' last=0
    while read -r line; do
        case $line in
            *"$name"*) if [ -z "$ready" ]; then ready=1 && say ready && continue; fi ;;
            # Of a unit's file: said whenever systemd loads it, as for our own looks.
            /*) continue ;;
            # Of a unit without a name of its own: run0 makes one for each of our looks.
            *run-[pu][0-9]*.service*) continue ;;
        esac
        read -r now _ </proc/uptime
        now=${now%.*}${now#*.}
        if [ $((now - last)) -ge 50 ]; then
            last=$now
            say look
            { sleep 0.5 && say look; } &
        fi
    done
}

# The path unit goes last: what is logged of it ends a journalctl that nobody reads.
finish() {
    kill "$ringing" 2>/dev/null
    timeout 20 systemctl stop -- "$name.path" 2>/dev/null
}

# Who cannot say it is the last one here: the connection is gone, or our own shell.
beats() {
    trap 'kill $! 2>/dev/null; exit' TERM
    trap '' PIPE
    while :; do
        sleep "$beat" &
        wait $!
        if ! say '' 2>/dev/null; then
            finish
            exit
        fi
    done
}

for tool in journalctl systemd-run; do
    if ! command -v "$tool" >/dev/null; then
        say "there is no $tool" && exit 1
    fi
done

# Left by one of us that was killed in every way there is.
set +f
for file in /run/systemd/transient/reconciler-bell-*.path; do
    old=${file##*/reconciler-bell-} old=${old%.path}
    if [ -e "$file" ] && [ ! -d "/proc/$old" ]; then
        timeout 20 systemctl stop -- "reconciler-bell-$old.path" 2>/dev/null
    fi
done
set -f

journalctl --follow --lines=1 --output=cat --quiet _PID=1 2>/dev/null | rings "$@" &
ringing=$!
beats &
beating=$!
trap 'kill "$beating"; finish; exit' TERM

while read -r _; do :; done
kill "$beating"
finish
