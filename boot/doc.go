// Package boot starts machines from published releases: the dracut module that
// an initramfs needs for it, the entries that boot loaders read, a server for
// the published tree, and a QEMU machine that boots from it.
//
// A release is a directory MASTER/releases/NAME below the published tree, with
// rootfs.squashfs, conffs-HOST.tgz for each host, vmlinuz, initramfs.img and
// SHA256SUMS, which lists them. MASTER/current links to one of them.
package boot
