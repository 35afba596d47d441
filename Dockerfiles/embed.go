// Package dockerfiles holds the recipes that vauban builds bases and kernels
// with. A user may replace each by a file of their own.
package dockerfiles

import "embed"

// Names of the recipes in [FS].
const (
	// Base makes a bootable system of an imported image; its arguments are
	// SOURCE, the image, and KERNEL, the kernel package.
	Base = "Dockerfile.base"
	// Initramfs makes kernel and initramfs of an image, in /boot-out; its
	// arguments are SOURCE, KERNEL_VERSION and REQUIRE_DIGEST. Its context
	// holds the dracut modules too, as modules.d.
	Initramfs = "Dockerfile.initramfs"
)

// FS is the context of the recipes: the recipes, and the files that they copy.
// Whoever writes it out gives directories mode 0755 and files 0644.
//
//go:embed Dockerfile.base Dockerfile.initramfs dracut.conf make-initramfs.sh base no-initramfs
var FS embed.FS
