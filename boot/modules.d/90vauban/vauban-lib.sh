#!/bin/sh
# What the hooks of this module share. They are sourced by dracut's own scripts,
# so every name begins with vauban_ and nothing here calls exit.

# The prefix is for tests only; in an initramfs it is empty.
vauban_live="${vauban_root-}/live"
vauban_run="${vauban_root-}/run/vauban"
vauban_store="$vauban_run/store"

# vauban_say TEXT...: a line on every console and in the log of the system that
# boots in the end: the kernel's own log reaches both.
vauban_say() {
    echo "<5>vauban: $*" >> "${vauban_kmsg:-/dev/kmsg}"
}

vauban_warn() {
    echo "<3>vauban: warning: $*" >> "${vauban_kmsg:-/dev/kmsg}"
}

# vauban_stop TEXT...: says why this machine does not boot, and ends the boot.
# It never returns. With rd.shell there is a shell first; then rd.emergency=
# says whether to reboot, to power off or, as the default, to halt, which leaves
# the reason on the screen.
vauban_stop() {
    echo "<2>vauban: stopped: $*" >> "${vauban_kmsg:-/dev/kmsg}"
    if getargbool 0 rd.shell; then
        emergency_shell "vauban: stopped: $*"
    fi
    vauban_action=$(getarg rd.emergency=)
    case "$vauban_action" in
        reboot | poweroff | halt) ;;
        *) vauban_action=halt ;;
    esac
    # Twice forced: at once, without units that wait for a root filesystem.
    # What is on its way to a serial line gets there first.
    sleep 2
    systemctl --force --force "$vauban_action"
    while :; do sleep 3600; done
}

# vauban_is_url TEXT
vauban_is_url() {
    case "$1" in
        http://?*/?* | https://?*/?*) return 0 ;;
        *) return 1 ;;
    esac
}

# vauban_name URL: the file name at the end of the URL.
vauban_name() {
    vauban_path=${1%%[?#]*}
    echo "${vauban_path##*/}"
}

# vauban_beside URL NAME: the URL of NAME in the same directory.
vauban_beside() {
    vauban_path=${1%%[?#]*}
    echo "${vauban_path%/*}/$2"
}

# vauban_is_digest HEX: whether HEX is a SHA-256 digest as sha256sum writes it.
vauban_is_digest() {
    [ ${#1} -eq 64 ] || return 1
    case "$1" in
        *[!0-9a-f]*) return 1 ;;
        *) return 0 ;;
    esac
}

# vauban_expected SUMS NAME: the digest that the list SUMS has for NAME; fails
# unless there is exactly one line for it, with a digest of the right form.
vauban_expected() {
    vauban_found=
    while read -r vauban_hex vauban_entry || [ -n "$vauban_hex" ]; do
        [ "${vauban_entry#\*}" = "$2" ] || continue
        [ -z "$vauban_found" ] || return 1
        vauban_is_digest "$vauban_hex" || return 1
        vauban_found=$vauban_hex
    done < "$1"
    [ -n "$vauban_found" ] && echo "$vauban_found"
}

# vauban_digest FILE
vauban_digest() {
    sha256sum < "$1" | cut -d ' ' -f 1
}

# vauban_seconds: whole seconds since the kernel started.
vauban_seconds() {
    read -r vauban_uptime _ < /proc/uptime
    echo "${vauban_uptime%%.*}"
}

# vauban_online: whether an interface has an address that reaches further than
# its own link.
vauban_online() {
    ip -o address show up 2> /dev/null | while read -r _ _ vauban_family _ vauban_rest; do
        case "$vauban_family $vauban_rest" in
            *tentative*) ;;
            inet*\ *scope\ global* | inet*\ *scope\ site*)
                echo yes
                break # nobody reads a second line
                ;;
        esac
    done | grep -q yes
}

# vauban_fetch URL FILE: fetches into FILE.part and renames it when it is whole.
# Where vauban.sums= has the last word, it goes on where an earlier try was cut
# off; without, another release may be at the URL by now, and it starts again.
# Fails for the caller to retry.
vauban_fetch() {
    vauban_resume=
    if [ -n "${vauban_sums-}" ] && [ -s "$2.part" ]; then
        vauban_resume="--continue-at -"
    fi
    # shellcheck disable=SC2086 # two words or none
    vauban_error=$(curl --fail --silent --show-error --location --globoff \
        --proto '=http,https' --connect-timeout 10 --speed-limit 1000 --speed-time 20 \
        $vauban_resume --output "$2.part" "$1" 2>&1 > /dev/null)
    case $? in
        0)
            mv "$2.part" "$2"
            return
            ;;
        # Cut off or stalled: what came is good as a beginning.
        18 | 28 | 55 | 56 | 92) ;;
        *) rm -f "$2.part" ;;
    esac
    return 1
}

# vauban_need URL FILE: fetches once more, unless FILE is there. A failure is
# told when it differs from the one before; when tries have gone on for
# vauban.timeout= seconds, the boot ends.
vauban_need() {
    [ -e "$2" ] && return 0
    if vauban_fetch "$1" "$2"; then
        vauban_say "fetched $1"
        vauban_error_before=
        return 0
    fi
    if [ "$vauban_error" != "$vauban_error_before" ]; then
        vauban_warn "fetching $1: $vauban_error; trying again"
        vauban_error_before=$vauban_error
    fi
    if [ "$(vauban_seconds)" -ge "$vauban_deadline" ]; then
        vauban_stop "$1 cannot be fetched: $vauban_error"
    fi
    return 1
}

# vauban_check FILE NAME SUMS: ends the boot unless FILE is what the list SUMS
# says of NAME.
vauban_check() {
    vauban_want=$(vauban_expected "$3" "$2") \
        || vauban_stop "SHA256SUMS has no single, well-formed line for $2"
    vauban_got=$(vauban_digest "$1")
    if [ "$vauban_got" != "$vauban_want" ]; then
        vauban_stop "$2 is not the file of this release: its sha256 is $vauban_got, expected $vauban_want"
    fi
    vauban_say "verified $2"
}

# vauban_json NAME VALUE: one member of a JSON object. Kernel parameters hold no
# control characters.
vauban_json() {
    printf '"%s": "%s"' "$1" "$(printf '%s' "$2" | sed 's/[\\"]/\\&/g')"
}
