package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"vauban/internal/outward"
	"vauban/internal/retry"
)

// limits bound what a registry may answer. Zero fields are the defaults.
type limits struct {
	// document bounds an answer that is not a blob, in bytes: a manifest, a
	// page of a list, a token. Default: 4 MiB, which registries accept.
	document int64
	// trouble is how much of an answer with an error is read, in bytes.
	// Default: 16 KiB.
	trouble int64
	// pages and entries bound a list. Default: 10,000 and 1,000,000.
	pages, entries int
	// wait bounds how long one request waits for a registry that limits
	// requests or is in trouble. Default: 30 minutes.
	wait time.Duration
	// transfer bounds how long an image is on its way. Default: 12 hours.
	transfer time.Duration
}

func (l limits) withDefaults() limits {
	if l.document <= 0 {
		l.document = 4 << 20
	}
	if l.trouble <= 0 {
		l.trouble = 16 << 10
	}
	if l.pages <= 0 {
		l.pages = 10_000
	}
	if l.entries <= 0 {
		l.entries = 1_000_000
	}
	if l.wait <= 0 {
		l.wait = retry.MaxWait
	}
	if l.transfer <= 0 {
		l.transfer = 12 * time.Hour
	}
	return l
}

// within is a context that ends when an image took too long.
func (l limits) within(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, l.transfer, fmt.Errorf("%w: the image took more than %v", errBound, l.transfer))
}

// The bounds of an image's manifest.
const (
	maxLayers    = 500       // which the kernel's overlays can stack
	maxImageSize = 256 << 30 // of all blobs, in bytes
	maxConfig    = 8 << 20   // of the configuration, in bytes
	maxNested    = 3         // indexes in an index
)

// errBound is the kind of an answer that exceeds a bound.
var errBound = errors.New("the answer exceeds a bound")

// errNotManifest is an answer of something else, as of a proxy that wants a login.
var errNotManifest = errors.New("the answer is not a manifest")

// bounded makes requests to a registry, and to the places that it names, whose
// answers have bounds.
type bounded struct {
	http.RoundTripper
	limits   limits
	answered *atomic.Bool
}

// RoundTrip implements http.RoundTripper.
func (b *bounded) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := b.RoundTripper.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	noteRetryAfter(request.Context(), response)
	if response.StatusCode < http.StatusInternalServerError || response.Header.Get("Retry-After") != "" {
		b.answered.Store(true)
	}
	switch {
	case response.StatusCode >= http.StatusBadRequest:
		response.Body = clipped{io.LimitReader(response.Body, b.limits.trouble), response.Body}
	case !isBlob(outward.First(request)) && request.Method != http.MethodHead:
		// All of it now: a JSON decoder would take the beginning of an answer
		// that is cut off for the whole.
		if err := b.readDocument(response); err != nil {
			return nil, err
		}
	}
	return response, nil
}

// readDocument puts the body of an answer into memory.
func (b *bounded) readDocument(response *http.Response) error {
	document, err := io.ReadAll(io.LimitReader(response.Body, b.limits.document+1))
	if closed := response.Body.Close(); err == nil {
		err = closed
	}
	if err == nil && int64(len(document)) > b.limits.document {
		err = fmt.Errorf("%w: more than %d bytes", errBound, b.limits.document)
	}
	response.Body = io.NopCloser(bytes.NewReader(document))
	return err
}

// isBlob says whether a request is for a blob, which is bounded by the size that
// a manifest gives for it.
func isBlob(request *http.Request) bool {
	_, blob, ok := strings.Cut(request.URL.Path, "/blobs/")
	return ok && !strings.HasPrefix(blob, "uploads/") && request.Method == http.MethodGet
}

// list counts the pages and entries of a list.
func (l limits) list() *list { return &list{limits: l, seen: map[string]bool{}} }

type list struct {
	limits
	seen    map[string]bool // addresses of pages
	entries int
}

// add takes note of a page and of the address of the next one, "" at the end.
func (l *list) add(next string, entries int) error {
	l.entries += entries
	switch {
	case l.entries > l.limits.entries:
		return fmt.Errorf("%w: the list has more than %d entries", errBound, l.limits.entries)
	case next != "" && l.seen[next]:
		return fmt.Errorf("%w: a page of the list leads back to an earlier one", errBound)
	case len(l.seen) >= l.pages:
		return fmt.Errorf("%w: the list has more than %d pages", errBound, l.pages)
	}
	l.seen[next] = true
	return nil
}

// clipped is the beginning of a body.
type clipped struct {
	io.Reader
	io.Closer
}
