package pipeline

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
	"vauban/layers"
	"vauban/pipeline/plan"
	"vauban/pipeline/provenance"
	"vauban/scan"
)

// A gate keeps the run's secrets out of images and logs: no layer with one is
// stored, and nothing with one is pushed. It also finds the builder's addresses and
// name, which a template wrote where it meant the host's.
type gate struct {
	secrets []scan.Needle
	traces  []scan.Needle
	shared  *scan.Matcher // of both
	hide    *scan.Redactor

	mu     sync.Mutex
	passed map[digest.Digest]bool // blobs that hold no secret
}

// maxNamed bounds how many files one message names.
const maxNamed = 10

// openGate learns the secrets of the run before anything is made.
func (r *Runner) openGate(ctx context.Context, p *plan.Plan) error {
	found, err := learnSecrets(ctx, r.secretSources(), playbookBranches(plannedStages(r.Config, p), r.Branch)...)
	if err != nil {
		return fmt.Errorf("learning which secrets must stay out of images: %w", err)
	}
	if len(found.short) > 0 {
		r.Log.Warn("secrets of fewer than 4 bytes are not looked for in images: set longer ones", "names", strings.Join(found.short, " "))
	}
	r.gate, r.withheld = newGate(found.needles, builderTraces()), found.files
	return nil
}

func newGate(secrets, traces []scan.Needle) *gate {
	return &gate{secrets: secrets, traces: traces, shared: scan.New(slices.Concat(secrets, traces)),
		hide: scan.NewRedactor(secrets), passed: map[digest.Digest]bool{}}
}

// redactor takes the secrets out of logs and of what the run says.
func (g *gate) redactor() *scan.Redactor {
	if g == nil {
		return nil
	}
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

// inspect looks at a layer for [layers.Change]: secrets are an error, traces
// of the builder a notice and a label; a nil notice leaves these out. Own
// gives the private keys of a container's machine; nil: none.
func (g *gate) inspect(own func(container string) []scan.Needle, notice func(container, text string)) layers.Inspect {
	if g == nil {
		return nil
	}
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

func (g *gate) isTrace(name string) bool {
	return slices.ContainsFunc(g.traces, func(n scan.Needle) bool { return n.Name == name })
}

// secretsError names files and settings, never a value.
func secretsError(findings []scan.Finding) error {
	return fmt.Errorf("it holds secrets, which no image may: %s; keep them out of the files that a stage leaves, or remove these at its end%s", named(findings), notSecret(findings))
}

// notSecret says what to do about a finding that is not a secret.
func notSecret(findings []scan.Finding) string {
	if slices.ContainsFunc(findings, func(f scan.Finding) bool { return strings.HasSuffix(f.Name, ofOthers) }) {
		return "; what is not a secret does not belong in .secrets.env"
	}
	return ""
}

func named(findings []scan.Finding) string {
	var words []string
	for _, f := range findings[:min(len(findings), maxNamed)] {
		words = append(words, fmt.Sprintf("/%s (%s)", f.Path, f.Name))
	}
	if more := len(findings) - maxNamed; more > 0 {
		words = append(words, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(words, ", ")
}

// maxUnpacked bounds what is looked at of an initramfs, in bytes.
const maxUnpacked = 8 << 30

// inspectFile looks into a file that ships outside of layers, as an initramfs
// does: as it is, and unpacked.
func (g *gate) inspectFile(ctx context.Context, path string) (err error) {
	if g == nil {
		return nil
	}
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

// pass remembers the topmost layer of an image that was inspected.
func (g *gate) pass(img layers.Image) {
	if g != nil && len(img.Manifest.Layers) > 0 {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.passed[img.Manifest.Layers[len(img.Manifest.Layers)-1].Digest] = true
	}
}

// pushing inspects blobs that a push is about to send, for
// registry.PushOptions: configurations, and layers that were made earlier.
func (r *Runner) pushing() func(context.Context, ocispec.Descriptor) error {
	if r.gate == nil {
		return nil
	}
	return r.inspectBlob
}

func (r *Runner) inspectBlob(ctx context.Context, blob ocispec.Descriptor) (err error) {
	g := r.gate
	g.mu.Lock()
	passed := g.passed[blob.Digest]
	g.mu.Unlock()
	if passed {
		return nil
	}
	if images.IsLayerType(blob.MediaType) {
		layer, err := r.Engine.OpenLayer(ctx, blob)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, layer.Close()) }()
		if _, err := g.inspect(nil, nil)("", layer); err != nil {
			return fmt.Errorf("layer %s: %w", blob.Digest, err)
		}
	} else if err := r.inspectConfig(ctx, blob); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.passed[blob.Digest] = true
	return nil
}

// inspectConfig looks at an image's configuration: its environment, labels and
// history.
func (r *Runner) inspectConfig(ctx context.Context, blob ocispec.Descriptor) error {
	text, err := content.ReadBlob(ctx, r.Engine.Store(), blob)
	if err != nil {
		return fmt.Errorf("reading the image's configuration: %w", err)
	}
	names, err := scan.New(r.gate.secrets).Find(bytes.NewReader(text))
	if err == nil && len(names) > 0 {
		err = fmt.Errorf("the image's configuration (its environment, labels or history) holds %s: keep it out of the Dockerfile's ENV and ARG, and out of stages' names", strings.Join(names, ", "))
	}
	return err
}

// inspectImage inspects the layers of an image that this run did not make,
// before they are published.
func (r *Runner) inspectImage(ctx context.Context, img layers.Image) error {
	if r.gate == nil {
		return nil
	}
	ctx = r.Engine.Context(ctx)
	for _, layer := range img.Manifest.Layers {
		layer.MediaType = cmp.Or(layer.MediaType, ocispec.MediaTypeImageLayerGzip)
		if err := r.inspectBlob(ctx, layer); err != nil {
			return err
		}
	}
	return nil
}
