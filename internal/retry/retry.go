// Package retry decides whether a request to a server is made again, and when.
package retry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	"vauban/internal/outward"
)

// MaxWait bounds how long one request waits, in all, before it is made again.
const MaxWait = 30 * time.Minute

// maxPause is the longest wait that no server asked for, unless the first wait
// is longer.
const maxPause = time.Minute

// Waits are the waits between the attempts at one request: an exponential
// backoff, of which up to a half is random so that the machines of one site do
// not come back together.
type Waits struct {
	// First is the longest wait before the second attempt.
	First time.Duration
	// Total bounds all waits together. 0: [MaxWait].
	Total time.Duration

	last, waited time.Duration
}

// Next returns how long to wait before the next attempt, which is not less than
// the server asked for. It is an error when that would take too long.
func (w *Waits) Next(asked time.Duration) (time.Duration, error) {
	if w.last == 0 {
		w.last = w.First
	} else {
		w.last = min(2*w.last, max(maxPause, w.First))
	}
	wait := max(w.last/2+rand.N(w.last/2+1), asked)
	total := w.Total
	if total <= 0 {
		total = MaxWait
	}
	if w.waited += wait; w.waited > total {
		return 0, fmt.Errorf("the server asks to wait %v; vauban waits at most %v for one request",
			wait.Round(time.Second), total)
	}
	return wait, nil
}

// Reset begins with the first wait again, after an attempt that made progress.
func (w *Waits) Reset() { w.last = 0 }

// Sleep waits. It returns the cause of a context that ends earlier.
func Sleep(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// Status reports whether a request that got this status code may succeed later.
func Status(code int) bool {
	switch code {
	case http.StatusRequestTimeout, http.StatusTooManyRequests:
		return true
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return false
	}
	return code >= 499 // nginx: the client closed the connection
}

// Network reports whether a request that failed without an answer may succeed
// later. It may not when the server's name does not exist, its certificate is
// not trusted, it does not speak TLS, or it leads elsewhere.
func Network(err error) bool {
	dns, isDNS := errors.AsType[*net.DNSError](err)
	return !(Distrusted(err) || isDNS && dns.IsNotFound ||
		errors.Is(err, http.ErrSchemeMismatch) || errors.Is(err, outward.ErrRefused))
}

// Distrusted reports whether TLS refused the server's certificate.
func Distrusted(err error) bool {
	var (
		verification *tls.CertificateVerificationError
		authority    x509.UnknownAuthorityError
		hostname     x509.HostnameError
		invalid      x509.CertificateInvalidError
	)
	return errors.As(err, &verification) || errors.As(err, &authority) ||
		errors.As(err, &hostname) || errors.As(err, &invalid)
}
