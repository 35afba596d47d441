package vault

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"vauban/internal/redact"
)

// Identity is what no two machines share and no rebuild changes. It is a value
// that nothing changes, and prints as a placeholder. The zero value is empty.
type Identity struct {
	redact.Hidden
	content *content
}

type content struct {
	machineID string
	keys      map[KeyType]keyPair
	// version says what the store had when it was asked, in the store's own
	// words.
	version map[string]string
}

// machineIDPart names the machine-id among the parts of an identity.
const machineIDPart = "machine-id"

// parts are the texts an identity is stored as, by name: "machine-id", and for
// each type of key "<type>" and "<type>.pub".
type parts map[string]string

// newIdentity parses what a store had. Whatever is there must be valid.
func newIdentity(p parts, version map[string]string) (Identity, error) {
	c := content{keys: map[KeyType]keyPair{}, version: version}
	if text, ok := p[machineIDPart]; ok {
		c.machineID = strings.TrimSpace(text)
		if err := checkMachineID(c.machineID); err != nil {
			return Identity{}, err
		}
	}
	for _, t := range keyTypes {
		private, hasPrivate := p[string(t)]
		public, hasPublic := p[string(t)+".pub"]
		if !hasPrivate && !hasPublic {
			continue
		}
		if !hasPrivate {
			return Identity{}, fmt.Errorf("the %s public key is there, and its private key is not: "+
				"restore it, or remove both to have new ones created", t)
		}
		pair, err := parsePair(t, private, public)
		if err != nil {
			return Identity{}, fmt.Errorf("reading the %s host key: %w", t, err)
		}
		c.keys[t] = pair
	}
	return Identity{content: &c}, nil
}

// parts is the reverse of newIdentity.
func (id Identity) parts() parts {
	p := parts{}
	if id.MachineID() != "" {
		p[machineIDPart] = id.MachineID() + "\n"
	}
	for t, pair := range id.get().keys {
		p[string(t)] = pair.private.Reveal()
		p[string(t)+".pub"] = pair.public
	}
	return p
}

func (id Identity) get() content {
	if id.content == nil {
		return content{}
	}
	return *id.content
}

// MachineID is the host's machine-id(5), 32 hexadecimal digits; empty when the
// identity has none yet.
func (id Identity) MachineID() string { return id.get().machineID }

// Keys returns what anybody may know of the SSH host keys.
func (id Identity) Keys() []Key {
	var keys []Key
	for _, t := range keyTypes {
		if pair, ok := id.get().keys[t]; ok {
			keys = append(keys, pair.Key)
		}
	}
	return keys
}

// Missing names what the identity does not have yet.
func (id Identity) Missing() []string {
	var missing []string
	for _, t := range keyTypes {
		if _, ok := id.get().keys[t]; !ok {
			missing = append(missing, string(t))
		}
	}
	if id.MachineID() == "" {
		missing = append(missing, machineIDPart)
	}
	return missing
}

// Equal says whether both are the same in every byte.
func (id Identity) Equal(other Identity) bool { return maps.Equal(id.parts(), other.parts()) }

// File is a file of the guest. Its content prints as a placeholder.
type File struct {
	redact.Hidden
	Mode    fs.FileMode
	content redact.Secret
}

// Content returns the file's bytes.
func (f File) Content() []byte { return []byte(f.content.Reveal()) }

// Files returns the files that give a machine this identity, by their absolute
// path. They belong to root.
func (id Identity) Files() map[string]File {
	files := map[string]File{}
	for name, text := range id.parts() {
		path, mode := partPath(name)
		files["/"+path] = File{Mode: mode, content: redact.NewSecret(text)}
	}
	return files
}

// partPath tells where in a machine a part of its identity is.
func partPath(name string) (path string, mode fs.FileMode) {
	switch base, isPublic := strings.CutSuffix(name, ".pub"); {
	case name == machineIDPart:
		return "etc/machine-id", 0o444
	case isPublic:
		return "etc/ssh/ssh_host_" + base + "_key.pub", 0o644
	default:
		return "etc/ssh/ssh_host_" + base + "_key", 0o600
	}
}

// partNames returns the names of all parts, in the order they are stored.
func partNames() []string {
	var names []string
	for _, t := range keyTypes {
		names = append(names, string(t), string(t)+".pub")
	}
	return append(names, machineIDPart)
}

// unique returns what identifies the host, by what it is.
func (id Identity) unique() map[string]string {
	values := map[string]string{}
	if id.MachineID() != "" {
		values[machineIDPart] = id.MachineID()
	}
	for _, key := range id.Keys() {
		values[string(key.Type)+" host key"] = key.Fingerprint
	}
	return values
}

// complete creates what is missing, all at once: an RSA key takes a second of
// processor time, or several.
func (id Identity) complete(ctx context.Context, host string) (Identity, error) {
	if err := ctx.Err(); err != nil {
		return Identity{}, err
	}
	c := id.get()
	c.keys = maps.Clone(c.keys)
	if c.keys == nil {
		c.keys = map[KeyType]keyPair{}
	}
	if c.machineID == "" {
		c.machineID = newMachineID()
	}
	var (
		generation sync.WaitGroup
		pairs      [len(keyTypes)]keyPair
		errs       [len(keyTypes)]error
	)
	for i, t := range keyTypes {
		if pair, ok := c.keys[t]; ok {
			pairs[i] = pair
			continue
		}
		generation.Go(func() { pairs[i], errs[i] = generatePair(t, "root@"+host) })
	}
	generation.Wait()
	for i, t := range keyTypes {
		c.keys[t] = pairs[i]
	}
	return Identity{content: &c}, errors.Join(errs[:]...)
}

// with adds what other has and id lacks.
func (id Identity) with(other Identity) Identity {
	c := id.get()
	c.machineID = cmp.Or(c.machineID, other.MachineID())
	keys := maps.Clone(other.get().keys)
	if keys == nil {
		keys = map[KeyType]keyPair{}
	}
	maps.Copy(keys, c.keys)
	c.keys = keys
	return Identity{content: &c}
}

// FromFiles reads an identity from files of a machine, by the paths of
// [FilePaths]. Parts that cannot be used, such as a weak key, are left out.
func FromFiles(files map[string][]byte) Identity {
	c := content{keys: map[KeyType]keyPair{}}
	text := func(part string) string {
		path, _ := partPath(part)
		return string(files[path])
	}
	if id := strings.TrimSpace(text(machineIDPart)); checkMachineID(id) == nil {
		c.machineID = id
	}
	for _, t := range keyTypes {
		pair, err := parsePair(t, text(string(t)), text(string(t)+".pub"))
		if err == nil && pair.verify() == nil {
			c.keys[t] = pair
		}
	}
	return Identity{content: &c}
}

// FilePaths are those of the files that make an identity, relative to a root.
func FilePaths() (paths []string) {
	for _, name := range partNames() {
		path, _ := partPath(name)
		paths = append(paths, path)
	}
	return paths
}

func (id Identity) withoutKeys() Identity {
	c := id.get()
	c.keys = nil
	return Identity{content: &c}
}

// Verify says what an identity lacks to be used: a part, a key long enough, a
// private key that signs what its public key verifies. Keys that are shorter
// than new ones are made, and still strong, may stay for ever: to change them
// would change the host.
func Verify(id Identity) error {
	var wrong []error
	if missing := id.Missing(); len(missing) > 0 {
		wrong = append(wrong, fmt.Errorf("it has no %s", strings.Join(missing, ", ")))
	}
	for _, t := range slices.Sorted(maps.Keys(id.get().keys)) {
		if err := id.get().keys[t].verify(); err != nil {
			wrong = append(wrong, fmt.Errorf("%s host key: %w", t, err))
		}
	}
	return errors.Join(wrong...)
}

// newMachineID makes one as systemd does: a random UUID without its hyphens.
// Source: machine-id(5)
func newMachineID() string {
	var id [16]byte
	rand.Read(id[:]) // never fails
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return hex.EncodeToString(id[:])
}

var machineID = regexp.MustCompile(`^[0-9a-f]{32}$`)

func checkMachineID(id string) error {
	if !machineID.MatchString(id) || id == strings.Repeat("0", len(id)) {
		return errors.New("the machine-id is not made of 32 lower-case hexadecimal digits: " +
			"correct it, or remove it to have a new one created")
	}
	return nil
}
