// Package export turns an image into the files that a machine boots, and
// publishes them.
//
// Two functions make files: [Rootfs] packs a mounted root file system as
// squashfs, [Conffs] compresses what a host has over its master. Both write
// beside their target and rename, so a file that has its name is whole.
//
// [Publish] puts a set of such files, with a kernel and an initramfs, into a
// tree that web servers serve:
//
//	DIR/linux/vmlinuz.<version>-<12 hex>        the pool, never rewritten
//	DIR/linux/initramfs.img.<version>-<12 hex>
//	DIR/linux/vmlinuz.<version> ->              the newest of that version
//	DIR/<master>/releases/<timestamp>/          one release, never changed
//	DIR/<master>/current -> releases/<timestamp>
//	DIR/<master>/rootfs.tgz -> current/rootfs.squashfs, and the like
//
// The words: a release is one set of kernel, initramfs, rootfs and conffs of
// one master that was published together; the pool holds kernels and
// initramfs of all masters; the release that current names is the one served.
// Everything a release needs is on disk before current moves, by one rename,
// so clients and crashes see the old set or the new one and nothing between.
package export
