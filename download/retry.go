package download

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"vauban/internal/outward"
	"vauban/internal/pace"
)

// maxBackoff is the longest wait that no server asked for.
const maxBackoff = time.Minute

// minProgress is what must have come for a request not to count as one that
// failed, in bytes: a server that sends a byte and breaks off would hold a run
// for ever.
const minProgress = 64 << 10

// retry makes a request until it succeeds, fails for a lasting reason, or was
// made often enough without anything having come.
func (c Client) retry(ctx context.Context, server *server, request func() (came bool, err error)) error {
	wait, waited := c.Backoff, time.Duration(0)
	for attempt := 1; ; attempt++ {
		came, err := request()
		if err == nil {
			return nil
		}
		if came {
			attempt, wait = 1, c.Backoff
		}
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		pause := wait
		if status, ok := errors.AsType[*statusError](err); ok && status.wait > 0 {
			attempt-- // a server that says when to come back is no failure
			pause = max(wait, status.wait)
			if waited += pause; waited > pace.MaxWait {
				return fmt.Errorf("downloading %s: %w, and asks to wait %v: at most %v are waited", server, err, pause, pace.MaxWait)
			}
		}
		if ctx.Err() != nil || attempt >= c.Attempts || !isPassing(err) {
			return fmt.Errorf("downloading %s: %w", server, err)
		}
		c.Log.Info("a download goes on after a failure", "from", server.String(), "wait", pause, "cause", err)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		wait = min(2*wait, maxBackoff)
	}
}

// isPassing tells whether the same request may succeed a moment later.
func isPassing(err error) bool {
	var (
		status       *statusError
		dns          *net.DNSError
		verification *tls.CertificateVerificationError
		authority    x509.UnknownAuthorityError
		name         x509.HostnameError
	)
	if errors.As(err, &status) {
		return status.isPassing()
	}
	return !(errors.Is(err, errDisk) || errors.Is(err, errRedirects) || errors.Is(err, errTooLong) || errors.Is(err, outward.ErrRefused) ||
		errors.Is(err, http.ErrSchemeMismatch) || errors.As(err, &verification) || errors.As(err, &authority) ||
		errors.As(err, &name) || errors.As(err, &dns) && dns.IsNotFound)
}

func (e *statusError) isPassing() bool {
	switch e.code {
	case http.StatusRequestTimeout, http.StatusTooManyRequests:
		return true
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return false
	}
	return e.code >= http.StatusInternalServerError
}
