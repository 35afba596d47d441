#!/bin/sh
# Reads the kernel command line. dracut sources this with $root set from root=.
#
#   root=live:URL                the root filesystem, a squashfs
#   live.updates=URL             the machine's own files (conffs), a tar.gz
#   vauban.sums=sha256:HEX       the digest of SHA256SUMS beside the rootfs
#   vauban.timeout=SECONDS       for how long to try to fetch (default 300)
#
# Whatever else stands there is for others: dracut's ip=, rd.* and rootflags=;
# rootovl, boot=tmpfs and pxemac= change nothing.

. "${vauban_lib:-/lib/vauban-lib.sh}"

vauban_parse() {
    vauban_image_url=${root#live:}
    vauban_conffs_url=$(getarg live.updates=)
    vauban_timeout=$(getarg vauban.timeout=)
    case "$vauban_timeout" in
        # What a shell takes for an octal number, or for none, ends the script.
        '' | *[!0-9]* | 0?* | ?????????*) vauban_timeout=300 ;;
    esac

    vauban_is_url "$vauban_image_url" \
        || vauban_stop "root=$root: expected root=live:http://SERVER/PATH"
    if [ -n "$vauban_conffs_url" ] && ! vauban_is_url "$vauban_conffs_url"; then
        vauban_stop "live.updates=$vauban_conffs_url: expected http://SERVER/PATH"
    fi
    # An empty value is a malformed one, not an absent one.
    if vauban_sums=$(getarg vauban.sums=); then
        vauban_is_digest "${vauban_sums#sha256:}" && [ "${vauban_sums#sha256:}" != "$vauban_sums" ] \
            || vauban_stop "vauban.sums=$vauban_sums: expected sha256: and 64 hexadecimal digits"
    elif [ -e "${vauban_root-}/etc/vauban/require-digest" ]; then
        vauban_stop "no vauban.sums= on the kernel command line, and this initramfs requires it"
    else
        vauban_warn "no vauban.sums= on the kernel command line: what is fetched is not verified"
    fi
    export vauban_image_url vauban_conffs_url vauban_sums vauban_timeout
}

# vauban_network: asks dracut for the network, by DHCP unless ip= says how.
vauban_network() {
    {
        echo "rd.neednet=1"
        getarg ip= > /dev/null || echo "ip=dhcp"
    } > "${vauban_root-}/etc/cmdline.d/20-vauban.conf"
}

case "$root" in
    live:*)
        vauban_parse
        vauban_network
        # rootok tells dracut that somebody knows this kind of root; the queue
        # runs until everything has been fetched.
        rootok=1
        echo "[ -e $vauban_run/ready ]" > "${hookdir:-/lib/dracut/hooks}/initqueue/finished/vauban.sh"
        ;;
esac
