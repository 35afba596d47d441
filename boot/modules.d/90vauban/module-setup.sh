#!/bin/bash
# The dracut module that boots a machine from a root filesystem fetched over
# HTTP, with the machine's own files laid over it. dracut sources this file and
# calls the functions below while it makes the initramfs.
#
# Setting, in a dracut configuration file:
#   vauban_require_digest="yes"   refuse to boot without vauban.sums=

check() {
    require_binaries curl tar gzip sha256sum ip mount || return 1
    # Never by itself: only where it was asked for.
    return 255
}

depends() {
    echo network
}

installkernel() {
    instmods overlay squashfs loop
}

install() {
    # shellcheck disable=SC2154 # dracut sets initdir, moddir
    inst_multiple curl tar gzip sha256sum ip mount umount modprobe \
        mkdir rm mv ln cut sed grep sleep
    # tar looks up no names (--numeric-owner), but curl wants to resolve hosts
    # and, for https, the certificates of the system that the module is built in.
    inst_libdir_file "libnss_dns.so.*" "libnss_files.so.*"
    local file
    for file in /etc/nsswitch.conf /etc/ssl/certs/ca-certificates.crt; do
        [[ -e $file ]] && inst_simple "$file"
    done

    inst_simple "$moddir/vauban-lib.sh" /lib/vauban-lib.sh
    inst_hook cmdline 20 "$moddir/cmdline.sh"
    inst_hook initqueue/settled 90 "$moddir/fetch.sh"
    inst_hook mount 90 "$moddir/mount.sh"

    # Unless the kernel command line asks for it, nobody who stands at the
    # console of a machine that cannot boot gets a root shell.
    mkdir -p "$initdir/etc/cmdline.d" "$initdir/etc/vauban"
    echo "rd.shell=0" > "$initdir/etc/cmdline.d/10-vauban.conf"
    # shellcheck disable=SC2154 # a dracut configuration file sets it
    if [[ $vauban_require_digest == yes ]]; then
        : > "$initdir/etc/vauban/require-digest"
    fi
    dracut_need_initqueue
}
