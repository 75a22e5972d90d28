# Start the guardian of an attempt, whose folder is $dir, in a unit of its own.
#
# launch VERB: a guardian that was ended together with what should have come after it is
# started again, to go by the decision. Without default dependencies: going back starts
# targets, which would wait for the end of the unit that does it, if somebody is stopping
# that.
launch() {
    # The limit is far beyond all others: it only ends a guardian that went mad.
    timeout 10 systemd-run --quiet --collect --unit=reconciler-activation \
        --service-type=exec --description="reconciler: ${dir##*/}" \
        --setenv=PATH="$PATH" --property=KillMode=mixed \
        --property=DefaultDependencies=no \
        --property=IgnoreOnIsolate=yes \
        --property=RuntimeMaxSec="$(($(cat "$dir/total") + 900))" \
        --property=TimeoutStopSec="$((2 * $(cat "$dir/rollback") + 1200))" \
        --property=ExecStopPost="/bin/sh $dir/guardian stopped $dir" \
        --property=OOMScoreAdjust=-900 \
        /bin/sh "$dir/guardian" "$1" "$dir" >&2
}
