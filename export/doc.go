// Package export turns an image into the files that a machine boots: [Rootfs]
// packs a mounted root filesystem as squashfs, [Conffs] compresses what a host has
// over its master. Both write next to their target and rename, so a file that has
// its name is whole.
package export
