// Package diff writes tars of what changed in a root filesystem.
//
// Two tars exist, for two readers. A layer ([WriteLayer]) holds one stage's
// changes in OCI's terms: `.wh.NAME` deletes NAME, `.wh..wh..opq` hides what
// the layers beneath have in a directory. A difference ([Merge]) holds several
// layers' changes in overlayfs' terms, so that GNU tar unpacks it into
// something that can be mounted over the root filesystem as it is: a character
// device 0:0 deletes, the attribute trusted.overlay.opaque hides.
//
// Source: https://github.com/opencontainers/image-spec/blob/v1.1.1/layer.md
// and https://docs.kernel.org/filesystems/overlayfs.html
package diff
