#!/bin/sh
# Stacks the root filesystem: the machine's own files over the image, and what
# will be written over both. dracut sources this until $NEWROOT is mounted and
# looks like a root filesystem, so it may come by more than once.

. "${vauban_lib:-/lib/vauban-lib.sh}"

# vauban_unpack: lays the conffs out as a lower layer. GNU tar makes the 0:0
# devices and trusted.overlay attributes in it what overlayfs takes them for:
# files and directories that the machine does not have.
vauban_unpack() {
    [ -e "$vauban_store/conffs" ] || return 0
    tar --extract --gzip --preserve-permissions --numeric-owner \
        --xattrs --xattrs-include='*' \
        --directory "$vauban_live/cow/conffs" --file "$vauban_store/conffs" \
        || vauban_stop "$vauban_conffs_url cannot be unpacked"
    # It may hold keys, and takes memory.
    rm "$vauban_store/conffs"
}

# vauban_stack: mounts everything at $NEWROOT.
vauban_stack() {
    mkdir -p -m 0755 "$vauban_live/image" "$vauban_live/cow"
    modprobe --all --quiet loop squashfs overlay
    mount -t squashfs -o ro,loop,noatime "$vauban_store/image" "$vauban_live/image" \
        || vauban_stop "$vauban_image_url is not a squashfs that this kernel can mount"
    mount -t tmpfs -o mode=0755 vauban-cow "$vauban_live/cow" \
        || vauban_stop "no memory for what the machine writes"
    mkdir -m 0755 "$vauban_live/cow/conffs" "$vauban_live/cow/rw" "$vauban_live/cow/work"
    vauban_unpack
    # Without redirect_dir no directory of the image could be renamed, which
    # programs do not expect of a root filesystem.
    mount -t overlay -o "noatime,redirect_dir=on,lowerdir=$vauban_live/cow/conffs:$vauban_live/image,upperdir=$vauban_live/cow/rw,workdir=$vauban_live/cow/work" \
        overlay "$NEWROOT" \
        || vauban_stop "the root filesystem cannot be stacked"
}

# vauban_hand_over: shows the layers to the system that boots, under /live. Bind
# mounts, because a mount below a shared one cannot be moved.
vauban_hand_over() {
    mkdir -p -m 0755 "$NEWROOT/live/image" "$NEWROOT/live/cow"
    ln -sfn cow/conffs "$NEWROOT/live/conffs"
    for vauban_layer in image cow; do
        mount --bind "$vauban_live/$vauban_layer" "$NEWROOT/live/$vauban_layer"
        umount "$vauban_live/$vauban_layer"
    done
    mount -o remount,ro "$vauban_store"
}

# vauban_release: says in the running system what it was booted from.
vauban_release() {
    if [ -n "$vauban_sums" ]; then vauban_verified=true; else vauban_verified=false; fi
    printf '{%s, %s, %s, "verified": %s}\n' \
        "$(vauban_json rootfs "$vauban_image_url")" \
        "$(vauban_json conffs "$vauban_conffs_url")" \
        "$(vauban_json sums "$vauban_sums")" \
        "$vauban_verified" > "$vauban_run/release.json"
}

if [ -e "$vauban_run/ready" ] && ! ismounted "$NEWROOT"; then
    vauban_stack
    vauban_hand_over
    vauban_release
    vauban_say "root filesystem stacked"
fi
