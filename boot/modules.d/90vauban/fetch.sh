#!/bin/sh
# Fetches and verifies the release. dracut sources this each time udev has
# settled, until it has left $vauban_run/ready; between two tries dracut may
# configure further interfaces.

. "${vauban_lib:-/lib/vauban-lib.sh}"

# vauban_open_store: a tmpfs of its own for what is fetched: systemd gives /run
# a fifth of the memory only.
vauban_open_store() {
    [ -d "$vauban_store" ] && return
    mkdir -p -m 0755 "$vauban_run"
    mkdir -m 0700 "$vauban_store"
    mount -t tmpfs -o size=90%,mode=0700,nosuid,nodev,noexec vauban-store "$vauban_store"
    vauban_deadline=$(($(vauban_seconds) + vauban_timeout))
}

# vauban_fetch_release: one try for every file that is still missing, each
# verified as soon as it is there; true when nothing is missing.
vauban_fetch_release() {
    vauban_image_name=$(vauban_name "$vauban_image_url")
    vauban_conffs_name=$(vauban_name "$vauban_conffs_url")
    if [ -n "$vauban_sums" ] && [ ! -e "$vauban_store/sums" ]; then
        vauban_sums_url=$(vauban_beside "$vauban_image_url" SHA256SUMS)
        vauban_need "$vauban_sums_url" "$vauban_store/sums" || return 1
        [ "sha256:$(vauban_digest "$vauban_store/sums")" = "$vauban_sums" ] \
            || vauban_stop "$vauban_sums_url is not the list that vauban.sums= names"
    fi
    vauban_take "$vauban_image_url" "$vauban_image_name" image || return 1
    [ -z "$vauban_conffs_url" ] || vauban_take "$vauban_conffs_url" "$vauban_conffs_name" conffs
}

# vauban_take URL NAME FILE: fetches one file and verifies it.
vauban_take() {
    [ -e "$vauban_store/$3.good" ] && return 0
    vauban_need "$1" "$vauban_store/$3" || return 1
    [ -z "$vauban_sums" ] || vauban_check "$vauban_store/$3" "$2" "$vauban_store/sums"
    : > "$vauban_store/$3.good"
}

# vauban_step: what dracut's queue runs.
vauban_step() {
    vauban_open_store
    if vauban_online; then
        vauban_fetch_release && : > "$vauban_run/ready"
    elif [ "$(vauban_seconds)" -ge "$vauban_deadline" ]; then
        vauban_stop "no network: no interface has got an address in $vauban_timeout s"
    fi
    # dracut's own limit counts rounds of the queue: ours counts seconds, and
    # says what was missing.
    main_loop=0
}

case "$root" in
    live:*) [ -e "$vauban_run/ready" ] || vauban_step ;;
esac
