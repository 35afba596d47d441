#!/bin/sh
# Process 1 of a build container: it reaps and, when told to end, ends.
trap 'exit 0' TERM INT
while :; do
	sleep 86400 &
	wait $!
done
