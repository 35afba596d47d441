// Package gate keeps secrets out of images, logs and build contexts.
package gate

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"vauban/internal/beneath"
	"vauban/internal/text"
	"vauban/layers"
	"vauban/pipeline/provenance"
	"vauban/scan"
)

// A Gate keeps the run's secrets out of images and logs: no layer with one is
// stored, and nothing with one is pushed. It also finds the builder's addresses and
// name, which a template wrote where it meant the host's.
type Gate struct {
	store   store
	secrets []scan.Needle
	traces  []scan.Needle
	shared  *scan.Matcher // of both
	hide    *scan.Redactor

	mu     sync.Mutex
	passed map[digest.Digest]bool // blobs that hold no secret
}

// maxNamed bounds how many files one message names.
const maxNamed = 10

// store is where the layers and configurations of images are.
type store interface {
	Context(context.Context) context.Context
	Store() content.Store
	OpenLayer(context.Context, ocispec.Descriptor) (io.ReadCloser, error)
}

// Empty lets everything pass: no secrets are known.
func Empty(s store) *Gate { return New(s, nil, nil) }

// Open opens a gate that keeps secrets back.
func Open(s store, secrets []scan.Needle) *Gate { return New(s, secrets, builderTraces()) }

// New keeps secrets back, and reports traces of the builder.
func New(s store, secrets, traces []scan.Needle) *Gate {
	return &Gate{store: s, secrets: secrets, traces: traces, shared: scan.New(slices.Concat(secrets, traces)),
		hide: scan.NewRedactor(secrets), passed: map[digest.Digest]bool{}}
}

// Redactor takes the secrets out of logs and of what the run says.
func (g *Gate) Redactor() *scan.Redactor {
	return g.hide
}

// stagesPath names the trace of a script that asked where a command is.
const stagesPath = "a command's path that only a stage has, below " + layers.StandInPath

// ordinaryNames are those of many machines: one in a file tells nothing.
var ordinaryNames = []string{"localhost", "localdomain", "debian", "ubuntu", "build", "builder", "runner", "server", "docker", "host", "linux", "root", "test", "vauban", "buildd", "container"}

// builderTraces are what a playbook may have taken for the host's: the
// builder's addresses and name, the addresses of the build's network, and
// paths of stand-ins.
func builderTraces() []scan.Needle {
	needles := []scan.Needle{{Name: stagesPath, Text: layers.StandInPath + "/"}}
	add := func(name, text string) { needles = append(needles, scan.Needle{Name: name, Text: text, Word: true}) }
	for _, address := range layers.NetworkAddresses() {
		add("the build network's address "+address, address)
	}
	if addresses, err := net.InterfaceAddrs(); err == nil {
		for _, address := range addresses {
			if ip, ok := address.(*net.IPNet); ok && ip.IP.IsGlobalUnicast() {
				add("the builder's address "+ip.IP.String(), ip.IP.String())
			}
		}
	}
	if name, err := os.Hostname(); err == nil && len(name) >= scan.MinText && !slices.Contains(ordinaryNames, strings.ToLower(name)) {
		add("the builder's host name "+name, name)
	}
	return needles
}

// untraced are the folders in which an address is an example, or a log's.
var untraced = []string{"usr/share/doc/", "usr/share/man/", "usr/share/info/", "usr/share/perl", "usr/lib/python3", "var/log/", "var/cache/", "var/lib/dpkg/", "var/lib/apt/"}

// Inspect looks at a layer for [layers.Change]: secrets are an error, traces
// of the builder a notice and a label; a nil notice leaves these out. Own
// gives the private keys of a container's machine; nil: none.
func (g *Gate) Inspect(own func(container string) []scan.Needle, notice func(container, text string)) layers.Inspect {
	return func(container string, layer io.Reader) (map[string]string, error) {
		matcher := g.shared
		if own != nil {
			if keys := own(container); len(keys) > 0 {
				matcher = scan.New(slices.Concat(g.secrets, g.traces, keys))
			}
		}
		findings, err := matcher.Tar(layer)
		if err != nil {
			return nil, fmt.Errorf("looking for secrets: %w", err)
		}
		var secret, traces []scan.Finding
		for _, f := range findings {
			switch {
			case !g.isTrace(f.Name):
				secret = append(secret, f)
			case notice != nil && !slices.ContainsFunc(untraced, func(dir string) bool { return strings.HasPrefix(f.Path, dir) }) &&
				f.Name != "the builder's host name "+container:
				traces = append(traces, f)
			}
		}
		if len(secret) > 0 {
			return nil, secretsError(secret)
		}
		labels := map[string]string{provenance.LabelTraces: ""}
		if len(traces) > 0 {
			labels[provenance.LabelTraces] = named(traces)
			notice(container, named(traces)+"; "+advice(traces))
		}
		return labels, nil
	}
}

// advice says what to do about traces.
func advice(traces []scan.Finding) string {
	asked := slices.ContainsFunc(traces, func(f scan.Finding) bool { return f.Name == stagesPath })
	other := slices.ContainsFunc(traces, func(f scan.Finding) bool { return f.Name != stagesPath })
	var words []string
	if other {
		words = append(words, "a template wrote what it should have asked of the host: set `facts:` or a variable")
	}
	if asked {
		words = append(words, "a script wrote down where a command is: have it write the command's name, or run it with a PATH without that folder")
	}
	return strings.Join(words, "; ")
}

func (g *Gate) isTrace(name string) bool {
	return slices.ContainsFunc(g.traces, func(n scan.Needle) bool { return n.Name == name })
}

// secretsError names files and settings, never a value.
func secretsError(findings []scan.Finding) error {
	return fmt.Errorf("it holds secrets, which no image may: %s; keep them out of the files that a stage leaves, or remove these at its end%s", named(findings), notSecret(findings))
}

// notSecret says what to do about a finding that is not a secret.
func notSecret(findings []scan.Finding) string {
	if slices.ContainsFunc(findings, func(f scan.Finding) bool { return strings.HasSuffix(f.Name, ofOthers) }) {
		return "; values that are not secret do not belong in .secrets.env"
	}
	return ""
}

func named(findings []scan.Finding) string {
	var words []string
	for _, f := range findings {
		words = append(words, fmt.Sprintf("/%s (%s)", f.Path, f.Name))
	}
	return text.First(maxNamed, words)
}

// maxUnpacked bounds what is looked at of an initramfs, in bytes.
const maxUnpacked = 8 << 30

// InspectFile looks into a file that ships outside of layers, as an initramfs
// does: as it is, and unpacked.
func (g *Gate) InspectFile(ctx context.Context, path string) (err error) {
	f, err := beneath.OpenRegular(path)
	if err != nil {
		return err
	}
	defer f.Close()
	matcher := scan.New(g.secrets)
	names, err := matcher.Find(beneath.Reader(ctx, f))
	if err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	more, err := matcher.FindUnpacked(beneath.Reader(ctx, f), maxUnpacked)
	if err != nil {
		return err
	}
	names = append(names, more...)
	if err := ctx.Err(); err != nil || len(names) == 0 {
		return err
	}
	slices.Sort(names)
	return fmt.Errorf("%s holds secrets, which no image may: %s: keep them out of the files that its Dockerfile copies",
		filepath.Base(path), strings.Join(slices.Compact(names), ", "))
}

// Pass remembers the topmost layer of an image that was inspected.
func (g *Gate) Pass(img layers.Image) {
	if len(img.Manifest.Layers) > 0 {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.passed[img.Manifest.Layers[len(img.Manifest.Layers)-1].Digest] = true
	}
}

// InspectBlob inspects a blob that a push is about to send, for
// registry.PushOptions: a configuration, or a layer that was made earlier.
func (g *Gate) InspectBlob(ctx context.Context, blob ocispec.Descriptor) (err error) {
	g.mu.Lock()
	passed := g.passed[blob.Digest]
	g.mu.Unlock()
	if passed {
		return nil
	}
	if images.IsLayerType(blob.MediaType) {
		layer, err := g.store.OpenLayer(ctx, blob)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, layer.Close()) }()
		if _, err := g.Inspect(nil, nil)("", layer); err != nil {
			return fmt.Errorf("layer %s: %w", blob.Digest, err)
		}
	} else if err := g.inspectConfig(ctx, blob); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.passed[blob.Digest] = true
	return nil
}

// inspectConfig looks at an image's configuration: its environment, labels and
// history.
func (g *Gate) inspectConfig(ctx context.Context, blob ocispec.Descriptor) error {
	text, err := content.ReadBlob(ctx, g.store.Store(), blob)
	if err != nil {
		return fmt.Errorf("reading the image's configuration: %w", err)
	}
	names, err := scan.New(g.secrets).Find(bytes.NewReader(text))
	if err == nil && len(names) > 0 {
		err = fmt.Errorf("the image's configuration (its environment, labels or history) holds %s: keep it out of the Dockerfile's ENV and ARG, and out of stages' names", strings.Join(names, ", "))
	}
	return err
}

// InspectImage inspects the layers of an image that this run did not make,
// before they are published.
func (g *Gate) InspectImage(ctx context.Context, img layers.Image) error {
	ctx = g.store.Context(ctx)
	for _, layer := range img.Manifest.Layers {
		layer.MediaType = cmp.Or(layer.MediaType, ocispec.MediaTypeImageLayerGzip)
		if err := g.InspectBlob(ctx, layer); err != nil {
			return err
		}
	}
	return nil
}
