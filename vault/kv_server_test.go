//go:build vaultserver

package vault

import (
	"crypto/rand"
	"os"
	"strings"
	"testing"
)

// TestKVServer does with a real server what TestKV does with the one here. It
// takes VAULT_ADDR, VAULT_TOKEN and the mount in VAULT_PATH, as with
//
//	bao server -dev -dev-root-token-id=root
//	VAULT_ADDR=http://127.0.0.1:8200 VAULT_TOKEN=root VAULT_PATH=secret/ go test -tags vaultserver -run KVServer ./vault
//
// and leaves what it wrote under folders of random names.
func TestKVServer(t *testing.T) {
	options := KVOptions{Address: os.Getenv("VAULT_ADDR"), Token: os.Getenv("VAULT_TOKEN"),
		RoleID: os.Getenv("VAULT_ROLE_ID"), SecretID: os.Getenv("VAULT_SECRET_ID")}
	mount := strings.TrimSuffix(os.Getenv("VAULT_PATH"), "/")
	testStore(t, func(t *testing.T) func() Store {
		own := options
		own.Path = mount + "/" + rand.Text() + "/"
		return func() Store {
			store, err := NewKV(own)
			if err != nil {
				t.Fatal(err)
			}
			return store
		}
	})
}
