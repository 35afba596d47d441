package boot

import (
	"embed"
	"io/fs"
)

//go:embed modules.d
var modules embed.FS

// DracutModules returns the dracut modules that make an initramfs boot a
// release, one directory each, for /usr/lib/dracut/modules.d.
func DracutModules() fs.FS {
	sub, err := fs.Sub(modules, "modules.d")
	if err != nil {
		panic(err) // the name above is embedded
	}
	return sub
}
