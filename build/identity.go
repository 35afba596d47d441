package build

import (
	"crypto/sha256"
	"fmt"
)

// machineID is a host's machine-id(5): the same at every build and boot, and
// no other host's.
func machineID(host string) string {
	sum := sha256.Sum256([]byte("vauban machine-id\n" + host))
	return fmt.Sprintf("%x", sum[:16])
}
