#!/bin/sh
# Becomes systemd as process 1 of a build container. The user namespace comes
# first: what is mounted until then cannot be unmounted or remounted in it, and
# the cgroup namespace that it owns lets systemd make cgroups of its own.
systemd=$1
shift
exec nsenter --user=/run/vauban/user unshare --mount --cgroup /bin/sh -c '
	mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 /sys/fs/cgroup || exit 125
	exec "$@"' init "$systemd" "$@"
