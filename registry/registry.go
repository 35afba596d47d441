// Package registry keeps images in an OCI registry: the user's, or one
// embedded in this process that stores everything on disk.
//
// An image name here is a repository below the registry's address, such as
// "debian-12/iso"; it never carries the address itself. What is stored under
// a name is reached by tags of three kinds:
//
//   - a timestamp ("2026-11-20T211348Z") names one result for ever: it never
//     moves to another digest;
//   - "latest" is whatever the newest timestamp names: it never goes back;
//   - any other tag ("deployed") moves freely.
//
// docs/registry.md says what of this holds when several machines write to one
// registry, which has no conditional write.
package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/distribution/reference"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/opencontainers/go-digest"

	"vauban/internal/outward"
	"vauban/internal/pace"
)

// Options say which registry to use and how. The zero value with a StateDir
// is the embedded registry.
type Options struct {
	// Hostname is host[:port][/project]. Empty is the embedded registry.
	Hostname string
	// Username and Password win over the Docker configuration
	// (~/.docker/config.json, credential helpers, Podman's auth.json), which
	// is asked when both are empty.
	Username string
	Password string `json:"-"`
	// StateDir holds the embedded registry, in its folder "registry".
	StateDir string
	// BlobPath tells the file of a blob in the local content store, if it has
	// one. The embedded registry hard-links such files instead of copying
	// them. Nil copies always.
	BlobPath func(digest.Digest) (string, bool)
	// CertDirs are searched for HOST[:PORT]/{*.crt,*.cert,*.key}, as other
	// registry clients do. Nil is /etc/containerd/certs.d,
	// /etc/containers/certs.d and /etc/docker/certs.d.
	CertDirs []string
	// Architecture, in Go's words and with its variant (arm/v7), is the one
	// taken when a tag names an image for several. Empty is this machine's.
	Architecture string
	// Setting is what named the registry, for errors. Empty is
	// REGISTRY_HOSTNAME.
	Setting string
	// Attempts is how often a request that fails for a passing reason is made.
	// Zero is 5 for a registry that never answered, and 12, which takes about
	// five minutes, for one that did.
	Attempts int
	// Backoff is the time before the second attempt; it doubles each time, up
	// to 120 times as much. A registry that says how long to wait is obeyed
	// instead. Zero is half a second.
	Backoff time.Duration
	// Log gets what happens, at debug level. Nil drops it.
	Log *slog.Logger

	patience time.Duration // 0: defaultPatience
	limits   limits
}

// Format prints the options without the password, whatever the verb.
func (o Options) Format(s fmt.State, _ rune) {
	fmt.Fprintf(s, "registry %q, user %q", o.Hostname, o.Username)
}

// LogValue keeps the password out of structured logs.
func (o Options) LogValue() slog.Value {
	return slog.GroupValue(slog.String("hostname", o.Hostname), slog.String("username", o.Username))
}

// Registry is an open registry. Its methods may be called at the same time.
type Registry struct {
	host     name.Registry
	project  string
	embedded *embedded // nil when the registry is the user's
	setting  string
	platform *v1.Platform
	blobPath func(digest.Digest) (string, bool)

	connections *http.Transport
	transport   http.RoundTripper // over connections
	keychain    authn.Keychain
	secrets     *secrets
	pusher      *remote.Pusher
	puller      *remote.Puller

	attempts int // 0: see tries
	backoff  time.Duration
	limits   limits
	answered atomic.Bool // the registry was reached and was not in trouble
	// imagesOnly: the registry refused what is not an image.
	imagesOnly atomic.Bool
	told       atomic.Int64 // until when to wait, as logged last, in Unix seconds
	log        *slog.Logger
	closing    sync.Once
	closed     error
}

// Open starts the embedded registry, or prepares the client of the user's. It
// sends nothing to that one: Check does.
func Open(ctx context.Context, o Options) (*Registry, error) {
	o = o.withDefaults()
	r := &Registry{
		setting:  o.Setting,
		blobPath: o.BlobPath,
		secrets:  &secrets{},
		attempts: o.Attempts,
		backoff:  o.Backoff,
		limits:   o.limits,
		log:      o.Log,
	}
	if o.Hostname == "" {
		e, err := startEmbedded(ctx, o.StateDir, o.Log)
		if err != nil {
			return nil, err
		}
		r.embedded = e
		o.Hostname, o.Username, o.Password = e.address, e.username, e.password
	}
	if err := r.connect(ctx, o); err != nil {
		_ = r.Close()
		return nil, err
	}
	return r, nil
}

func (o Options) withDefaults() Options {
	if o.CertDirs == nil {
		o.CertDirs = certDirs()
	}
	if o.Architecture == "" {
		o.Architecture = runtime.GOARCH
	}
	if o.Setting == "" {
		o.Setting = "REGISTRY_HOSTNAME"
	}
	if o.Backoff <= 0 {
		o.Backoff = 500 * time.Millisecond
	}
	if o.patience <= 0 {
		o.patience = defaultPatience
	}
	o.limits = o.limits.withDefaults()
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// connect prepares the client.
func (r *Registry) connect(ctx context.Context, o Options) error {
	var err error
	if r.host, r.project, err = parseHostname(o.Hostname); err != nil {
		return err
	}
	if r.platform, err = v1.ParsePlatform("linux/" + o.Architecture); err != nil {
		return fmt.Errorf("reading the architecture %q: %w", o.Architecture, err)
	}
	if r.connections, err = newTransport(r.host.RegistryStr(), o.CertDirs); err != nil {
		return err
	}
	r.transport = loopbackHTTP{&bounded{
		RoundTripper: &outward.Transport{
			Base: &pace.Transport{Base: r.connections, Window: o.patience},
			Home: r.host.RegistryStr(),
		},
		limits:   r.limits,
		answered: &r.answered,
	}}
	if r.keychain, err = newKeychain(o.Username, o.Password, r.secrets); err != nil {
		return err
	}
	if r.embedded != nil {
		// Its login is good for everything: one greeting instead of one for
		// each image.
		auth, _ := r.keychain.Resolve(r.host)
		if r.transport, err = transport.NewWithContext(ctx, r.host, auth, r.transport, nil); err != nil {
			return fmt.Errorf("greeting the embedded registry: %w", err)
		}
	}
	options := []remote.Option{
		remote.WithTransport(r.transport),
		remote.WithAuthFromKeychain(r.keychain),
		remote.WithUserAgent(userAgent),
		remote.WithPlatform(*r.platform),
		// Trying again is up to do, which heeds the context.
		remote.WithRetryBackoff(remote.Backoff{Steps: 1}),
	}
	if r.pusher, err = remote.NewPusher(options...); err != nil {
		return fmt.Errorf("preparing to push to registry %q: %w", o.Hostname, err)
	}
	if r.puller, err = remote.NewPuller(options...); err != nil {
		return fmt.Errorf("preparing to pull from registry %q: %w", o.Hostname, err)
	}
	return nil
}

// Close ends the connections and stops the embedded registry. What it holds
// stays on disk.
func (r *Registry) Close() error {
	r.closing.Do(func() {
		if r.connections != nil {
			// The server would wait for connections that sent nothing yet.
			r.connections.CloseIdleConnections()
		}
		if r.embedded != nil {
			r.closed = r.embedded.close()
		}
	})
	return r.closed
}

// Address is the host[:port][/project] that requests go to. The embedded
// registry has another port each time.
func (r *Registry) Address() string {
	return path.Join(r.host.RegistryStr(), r.project)
}

// Embedded says whether the registry is the one in this process.
func (r *Registry) Embedded() bool { return r.embedded != nil }

// Reference is the name of an image for people, records and containerd: with
// the address of a user's registry, without the passing one of the embedded.
func (r *Registry) Reference(image, tag string) string {
	if r.embedded == nil {
		image = path.Join(r.Address(), image)
	}
	separator := ":"
	if isDigest(tag) {
		separator = "@"
	}
	return image + separator + tag
}

// repository checks an image name and finds its place in the registry.
func (r *Registry) repository(image string) (name.Repository, error) {
	// The image alone as well: joining would clean up what must be refused.
	full := path.Join(r.project, image)
	for _, name := range []string{image, full} {
		if _, err := reference.WithName(name); err != nil {
			return r.host.Repo(), fmt.Errorf("image name %q: use up to 255 lower-case letters and digits "+
				"with single . _ - / between them", image)
		}
	}
	return r.host.Repo(full), nil
}

// reference is repository for one tag, or for one digest.
func (r *Registry) reference(image, tag string) (name.Reference, error) {
	repo, err := r.repository(image)
	if err != nil {
		return nil, err
	}
	if isDigest(tag) {
		if err := digest.Digest(tag).Validate(); err != nil {
			return nil, fmt.Errorf("digest %q of image %q: %w", tag, image, err)
		}
		return repo.Digest(tag), nil
	}
	if _, err := reference.WithTag(anyName{}, tag); err != nil {
		return nil, fmt.Errorf("tag %q of image %q: use up to 128 letters, digits and . _ -, not . or - first", tag, image)
	}
	return repo.Tag(tag), nil
}

// anyName stands for the image where only a tag is checked.
type anyName struct{}

func (anyName) String() string { return "image" }
func (anyName) Name() string   { return "image" }

func isDigest(tag string) bool { return strings.Contains(tag, ":") }

// parseHostname takes host[:port][/project] apart.
func parseHostname(hostname string) (name.Registry, string, error) {
	if strings.Contains(hostname, "@") {
		// Not repeated: what stands before the @ may be a password.
		return name.Registry{}, "", errors.New("REGISTRY_HOSTNAME holds an @: write it as host[:port][/project], " +
			"and the login as REGISTRY_USERNAME and REGISTRY_PASSWORD")
	}
	address := strings.TrimSuffix(hostname, "/")
	host, project, _ := strings.Cut(address, "/")
	var options []name.Option
	if outward.IsLoopback(host) {
		options = append(options, name.Insecure) // TLS is still tried first
	}
	_, err := reference.WithName(address + "/image")
	registry, err2 := name.NewRegistry(host, options...)
	if err != nil || err2 != nil {
		return name.Registry{}, "", fmt.Errorf("REGISTRY_HOSTNAME %q is not a registry: write it as host[:port][/project], "+
			"without https:// and with a project in lower case", hostname)
	}
	return registry, project, nil
}
