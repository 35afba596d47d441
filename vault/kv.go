package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// KV keeps identities in the KV engine, version 2, of a HashiCorp Vault or
// OpenBao server: under <path>sshd/<host>/ a secret for each type of key, with
// the fields "<type>" and "<type>.pub", and one for the machine-id.
// Source: https://openbao.org/api-docs/secret/kv/kv-v2/
type KV struct {
	client *client
	mount  string // escaped for a URL
	prefix string // escaped, empty or with "/" at its end
}

var _ Store = (*KV)(nil)

// DefaultKVPath is where identities are when nothing else is said.
const DefaultKVPath = "vauban_kv2/"

// maxDepth is how many "/" of a host's name List follows.
const maxDepth = 8

// NewKV returns the store on a server. It does not talk to the server yet.
func NewKV(o KVOptions) (*KV, error) {
	c, err := newClient(o)
	if err != nil {
		return nil, err
	}
	text := strings.Trim(o.Path, "/")
	if text == "" {
		text = strings.Trim(DefaultKVPath, "/")
	}
	elements := strings.Split(text, "/")
	for i, element := range elements {
		if element == "" || element == "." || element == ".." {
			return nil, fmt.Errorf("the path %q cannot stand: the first element of VAULT_PATH is the mount of a KV engine, others are folders in it", o.Path)
		}
		elements[i] = url.PathEscape(element)
	}
	prefix := strings.Join(append(elements[1:], "sshd"), "/") + "/"
	return &KV{client: c, mount: elements[0], prefix: prefix}, nil
}

// secretNames returns what each secret of a host is called. The first one is
// where two runs that create a host at the same time meet.
func secretNames() []string {
	var names []string
	for _, t := range keyTypes {
		names = append(names, string(t))
	}
	return append(names, machineIDPart)
}

// fields picks those of a secret out of the parts of an identity.
func fields(secret string, p parts) parts {
	picked := parts{}
	for _, field := range []string{secret, secret + ".pub"} {
		if text, ok := p[field]; ok {
			picked[field] = text
		}
	}
	return picked
}

// Get reads the identity of a host.
func (k *KV) Get(ctx context.Context, host string) (Identity, error) {
	if err := checkHost(host); err != nil {
		return Identity{}, err
	}
	all, versions := parts{}, map[string]string{}
	for _, name := range secretNames() {
		stored, err := k.read(ctx, host, name)
		if err != nil {
			return Identity{}, fmt.Errorf("reading the identity of %q: %w", host, err)
		}
		maps.Copy(all, stored.fields)
		versions[name] = strconv.Itoa(stored.version)
	}
	id, err := newIdentity(all, versions)
	if err != nil {
		return Identity{}, fmt.Errorf("reading the identity of %q on %s: %w", host, k.client.address, err)
	}
	if len(all) == 0 {
		return id, fmt.Errorf("%q has no identity on %s: %w", host, k.client.address, fs.ErrNotExist)
	}
	return id, nil
}

// Put keeps an identity. Its secrets are written one after the other, each only
// if it is as it was read: a run that ends in between leaves part of an
// identity, which [Ensure] completes.
func (k *KV) Put(ctx context.Context, host string, id Identity) error {
	if err := checkHost(host); err != nil {
		return err
	}
	for _, name := range secretNames() {
		version, _ := strconv.Atoi(id.get().version[name]) // none is 0: it does not exist
		if err := k.update(ctx, host, name, fields(name, id.parts()), version); err != nil {
			return fmt.Errorf("writing the identity of %q: %w", host, err)
		}
	}
	return nil
}

func (k *KV) update(ctx context.Context, host, name string, want parts, version int) error {
	current, err := k.read(ctx, host, name)
	if err != nil || maps.Equal(current.fields, want) {
		return err
	}
	if current.version != version {
		return fmt.Errorf("%q: %w", name, ErrConflict)
	}
	err = k.write(ctx, host, name, want, version)
	if !errors.Is(err, ErrConflict) {
		return err
	}
	// Our own write is in the way when its answer was lost and it was repeated.
	current, readErr := k.read(ctx, host, name)
	if readErr == nil && maps.Equal(current.fields, want) {
		return nil
	}
	return err
}

// stored is one version of a secret. One that was deleted has a version and no
// fields; one that never was, version 0.
type stored struct {
	fields  parts
	version int
}

func (k *KV) read(ctx context.Context, host, name string) (stored, error) {
	path := k.path("data", host) + name
	a, err := k.client.call(ctx, http.MethodGet, path, nil)
	if err != nil {
		return stored{}, err
	}
	if a.status == http.StatusNotFound && len(a.Data) == 0 {
		return stored{}, nil
	}
	return parseSecret(a.Data, path)
}

func parseSecret(data []byte, path string) (stored, error) {
	var secret struct {
		Data     map[string]any
		Metadata struct{ Version int }
	}
	if err := json.Unmarshal(data, &secret); err != nil || secret.Metadata.Version < 1 {
		return stored{}, notVersion2(path)
	}
	s := stored{fields: parts{}, version: secret.Metadata.Version}
	for field, value := range secret.Data {
		text, ok := value.(string)
		if !ok || len(text) > maxPart {
			return stored{}, fmt.Errorf("the field %q of %q is not the text of a key", field, path)
		}
		s.fields[field] = text
	}
	return s, nil
}

func (k *KV) write(ctx context.Context, host, name string, p parts, version int) error {
	path := k.path("data", host) + name
	body := map[string]any{"data": p, "options": map[string]int{"cas": version}}
	a, err := k.client.call(ctx, http.MethodPost, path, body)
	if err != nil {
		return err
	}
	var metadata struct{ Version int }
	if err := json.Unmarshal(a.Data, &metadata); err != nil || metadata.Version <= version {
		return notVersion2(path)
	}
	return nil
}

func notVersion2(path string) error {
	return fmt.Errorf("%q is not answered as by a KV engine of version 2: enable one, or set VAULT_PATH to its mount", path)
}

// List returns the hosts that have a key or a machine-id.
func (k *KV) List(ctx context.Context) ([]string, error) {
	hosts, err := k.list(ctx, "", maxDepth)
	if err != nil {
		return nil, fmt.Errorf("listing the identities: %w", err)
	}
	slices.Sort(hosts)
	return hosts, nil
}

// list follows folders: a folder with one of our secrets in it is a host's.
func (k *KV) list(ctx context.Context, folder string, depth int) ([]string, error) {
	a, err := k.client.call(ctx, http.MethodGet, k.path("metadata", folder)+"?list=true", nil)
	if err != nil || a.status == http.StatusNotFound || depth == 0 {
		return nil, err
	}
	var listing struct{ Keys []string }
	if err := json.Unmarshal(a.Data, &listing); err != nil {
		return nil, notVersion2(k.path("metadata", folder))
	}
	var hosts []string
	for _, name := range listing.Keys {
		below, isFolder := strings.CutSuffix(name, "/")
		if !isFolder {
			continue
		}
		more, err := k.list(ctx, strings.TrimPrefix(folder+"/"+below, "/"), depth-1)
		if err != nil {
			return nil, err
		}
		hosts = append(hosts, more...)
	}
	isOurs := func(name string) bool { return slices.Contains(secretNames(), name) }
	if checkHost(folder) == nil && slices.ContainsFunc(listing.Keys, isOurs) {
		hosts = append(hosts, folder)
	}
	return hosts, nil
}

// path returns the URL's path, with "/" at its end, of a host's folder or of
// all hosts'.
func (k *KV) path(kind, host string) string {
	path := k.mount + "/" + kind + "/" + k.prefix
	if host != "" {
		path += host + "/" // needs no escape: see checkHost
	}
	return path
}
