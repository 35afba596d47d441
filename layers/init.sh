#!/bin/sh
# Process 1 of a build container: it reaps. Nothing that is sent inside ends
# it, so that no step pulls the ground from under the others; the engine ends
# it with SIGKILL.
trap '' INT TERM HUP QUIT
while :; do
	sleep 86400 &
	wait $!
done
