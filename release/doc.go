// Package release keeps the published tree, which web servers serve. [Publish]
// puts a root filesystem, conffs, a kernel and an initramfs into it:
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
package release
