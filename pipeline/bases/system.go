package bases

import (
	"context"
	"fmt"
	"regexp"

	"vauban/internal/beneath"
)

// CheckSystem finds what Dockerfile.base and the record of packages would fail
// on later: a system that is not made of Debian packages.
func CheckSystem(ctx context.Context, root string) error {
	fsys, err := beneath.OpenRoot(root)
	if err != nil {
		return err
	}
	defer fsys.Close()
	for _, program := range []string{"bin/sh", "usr/bin/dpkg", "usr/bin/apt-get"} {
		if _, err := fsys.Lstat(program); err == nil {
			continue
		}
		return fmt.Errorf("%s has no /%s: vauban builds Debian, Ubuntu and their derivatives", systemName(ctx, fsys), program)
	}
	return nil
}

var prettyName = regexp.MustCompile(`(?m)^PRETTY_NAME=["']?([^"'\n]*)`)

// systemName is what a system calls itself.
// Source: os-release(5)
func systemName(ctx context.Context, root *beneath.Root) string {
	for _, path := range []string{"etc/os-release", "usr/lib/os-release"} {
		text, err := root.ReadFile(ctx, path, 64<<10)
		if found := prettyName.FindSubmatch(text); err == nil && found != nil {
			return string(found[1])
		}
	}
	return "it"
}
