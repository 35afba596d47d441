package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"vauban/internal/outward"
	"vauban/internal/pace"
	"vauban/internal/retry"
)

// do makes a request, which must be harmless to repeat, until it succeeds,
// fails for a lasting reason or was made often enough. doing completes the
// sentence of the error.
func (r *Registry) do(ctx context.Context, doing string, request func(context.Context) error) error {
	waits := retry.Waits{First: r.backoff, Total: r.limits.wait}
	for attempt := 1; ; attempt++ {
		asking, asked := withRetryAfter(ctx)
		err := request(asking)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return r.stopped(ctx, doing)
		}
		if attempt >= r.tries(err) || !r.isTransient(err) {
			err := r.explain(doing, attempt, err)
			if !errdefs.IsNotFound(err) {
				err = cmp.Or(r.damaged(ctx), err)
			}
			return err
		}
		wait, tooLong := waits.Next(time.Duration(asked.Load()))
		if tooLong != nil {
			return r.explain(doing, attempt, fmt.Errorf("%w: %w", err, tooLong))
		}
		if asked.Load() > 0 {
			r.tell(doing, wait)
		}
		r.log.Debug("repeating a registry request", "doing", doing, "attempt", attempt,
			"wait", wait, "cause", r.public(err))
		if retry.Sleep(ctx, wait) != nil {
			return r.stopped(ctx, doing)
		}
	}
}

const (
	triesUnknown  = 5  // of a registry that never answered: its name may be wrong
	triesKnown    = 12 // of one that did, which takes about five minutes
	triesHopeless = 3  // of one that hangs, or sends wrong content
)

// tries is how often a request that fails with err is made.
func (r *Registry) tries(err error) int {
	tries := triesUnknown
	if r.answered.Load() {
		tries = triesKnown
	}
	if r.attempts > 0 {
		tries = r.attempts
	}
	switch {
	case errors.Is(err, pace.ErrStalled), errors.Is(err, errBadContent):
		tries = min(tries, triesHopeless)
	case errors.Is(err, io.ErrUnexpectedEOF):
		tries = min(tries, triesUnknown)
	}
	return tries
}

// isTransient says whether the same request may succeed a moment later.
func (r *Registry) isTransient(err error) bool {
	var (
		answer *transport.Error
		dialed *net.OpError
		asked  *url.Error
	)
	switch {
	case r.isPlain(err), errors.Is(err, errBound):
		return false
	case errors.As(err, &answer):
		return isTransientAnswer(answer)
	case !retry.Network(err) && !errors.Is(err, http.ErrSchemeMismatch):
		return false
	case errors.Is(err, errBadContent):
		return r.embedded == nil // its disk has the same bytes the next time
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, pace.ErrStalled):
		return true
	case errors.Is(err, context.Canceled):
		return true // another push's: the caller looked at its own context
	}
	return errors.As(err, &dialed) || errors.As(err, &asked)
}

func isTransientAnswer(answer *transport.Error) bool {
	for _, diagnostic := range answer.Errors {
		switch diagnostic.Code {
		case transport.BlobUploadUnknownErrorCode, transport.BlobUploadInvalidErrorCode:
			return true // the registry lost the upload, by a restart for example
		}
	}
	return retry.Status(answer.StatusCode)
}

// isPlain says whether the registry does not know TLS. On the loopback address
// that is as good: plain HTTP was then tried too.
func (r *Registry) isPlain(err error) bool {
	return errors.Is(err, http.ErrSchemeMismatch) && !outward.IsLoopback(r.host.RegistryStr())
}

// isNotFound says whether the registry answered that the thing is not there.
func isNotFound(err error) bool {
	var answer *transport.Error
	return errdefs.IsNotFound(err) ||
		errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound && !isTransientAnswer(answer)
}
