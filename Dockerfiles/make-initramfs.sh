#!/bin/bash
# Makes /boot-out of the kernel in the environment's KERNEL_VERSION, or the
# newest. Dockerfile.initramfs runs it; it needs no mount.
set -euo pipefail

fail() { echo "make-initramfs: $*" >&2; exit 1; }

conf=/etc/vauban/dracut
version=${KERNEL_VERSION:-$(ls /usr/lib/modules 2> /dev/null | sort --version-sort | tail -n 1)}
[[ $version ]] || fail "no kernel in /usr/lib/modules: install a kernel package in the image"
[[ -d /usr/lib/modules/$version ]] || fail "no kernel $version in /usr/lib/modules"

mkdir -p /boot-out
for kernel in "/boot/vmlinuz-$version" "/usr/lib/modules/$version/vmlinuz"; do
    if [[ -e $kernel ]]; then cp "$kernel" /boot-out/vmlinuz; break; fi
done
[[ -e /boot-out/vmlinuz ]] || fail "no /boot/vmlinuz-$version"
echo "$version" > /boot-out/version

# dracut says FAILED of a driver that the kernel lacks: only those that it has.
wanted_drivers=
source "$conf/10-vauban.conf"
{
    for driver in $wanted_drivers; do
        if modinfo -k "$version" "$driver" > /dev/null 2>&1; then
            echo "add_drivers+=\" $driver \""
        fi
    done
    # It knows every form of ip=; newer releases of dracut do not ship it.
    if [[ -d /usr/lib/dracut/modules.d/35network-legacy ]] && type dhclient arping > /dev/null 2>&1; then
        echo 'add_dracutmodules+=" network-legacy "'
    fi
    echo "vauban_require_digest=\"${REQUIRE_DIGEST:-no}\""
} > "$conf/20-found.conf"

# What dracut cannot find it tells in its log, and goes on with exit code 0.
log=$(mktemp)
dracut --force --no-hostonly --kver "$version" --conf /dev/null --confdir "$conf" \
    /boot-out/initramfs.img 2>&1 | tee "$log"
if grep -E 'FAILED|ERROR|cannot be (found|installed)|could not be installed' "$log" >&2; then
    fail "dracut did not find everything that it had to install"
fi
list=$(lsinitrd /boot-out/initramfs.img)
grep -q vauban-lib.sh <<< "$list" || fail "dracut has left out the vauban module"
chmod 0644 /boot-out/*
rm "$log"
