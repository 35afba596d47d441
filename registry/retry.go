package registry

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
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
)

// do makes a request, which must be harmless to repeat, until it succeeds,
// fails for a lasting reason or was made often enough. doing completes the
// sentence of the error.
func (r *Registry) do(ctx context.Context, doing string, request func(context.Context) error) error {
	for attempt, waited := 1, time.Duration(0); ; attempt++ {
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
		wait := r.pause(attempt, time.Duration(asked.Load()))
		if waited += wait; waited > r.limits.wait {
			return r.explain(doing, attempt, fmt.Errorf("%w: it asks to wait %v, at most %v are waited",
				err, wait.Round(time.Second), r.limits.wait))
		}
		if asked.Load() > 0 {
			r.tell(doing, wait)
		}
		r.log.Debug("repeating a registry request", "doing", doing, "attempt", attempt,
			"wait", wait, "cause", r.public(err))
		select {
		case <-ctx.Done():
			return r.stopped(ctx, doing)
		case <-time.After(wait):
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
		dns    *net.DNSError
		dialed *net.OpError
		asked  *url.Error
	)
	switch {
	case isDistrusted(err), r.isPlain(err), errors.Is(err, errBound), errors.Is(err, outward.ErrRefused):
		return false
	case errors.As(err, &answer):
		return isTransientAnswer(answer)
	case errors.As(err, &dns) && dns.IsNotFound:
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
	switch answer.StatusCode {
	case http.StatusRequestTimeout, http.StatusTooManyRequests:
		return true
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return false
	}
	return answer.StatusCode >= 499 // nginx: the client went away
}

// isPlain says whether the registry does not know TLS. On the loopback address
// that is as good: plain HTTP was then tried too.
func (r *Registry) isPlain(err error) bool {
	return errors.Is(err, http.ErrSchemeMismatch) && !outward.IsLoopback(r.host.RegistryStr())
}

// isDistrusted says whether TLS found the wrong certificate.
func isDistrusted(err error) bool {
	var (
		verification *tls.CertificateVerificationError
		authority    x509.UnknownAuthorityError
		hostname     x509.HostnameError
		invalid      x509.CertificateInvalidError
	)
	return errors.As(err, &verification) || errors.As(err, &authority) ||
		errors.As(err, &hostname) || errors.As(err, &invalid)
}

// isNotFound says whether the registry answered that the thing is not there.
func isNotFound(err error) bool {
	var answer *transport.Error
	return errdefs.IsNotFound(err) ||
		errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound && !isTransientAnswer(answer)
}
