package registry

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// retryAfter is how long an answer asked to wait, in nanoseconds.
type retryAfter struct{ atomic.Int64 }

type retryAfterKey struct{}

// withRetryAfter lets the answers to requests with the context say how long to
// wait: the client library's errors leave out the headers.
func withRetryAfter(ctx context.Context) (context.Context, *retryAfter) {
	asked := &retryAfter{}
	return context.WithValue(ctx, retryAfterKey{}, asked), asked
}

func noteRetryAfter(ctx context.Context, response *http.Response) {
	asked, ok := ctx.Value(retryAfterKey{}).(*retryAfter)
	if !ok || response.StatusCode != http.StatusTooManyRequests && response.StatusCode != http.StatusServiceUnavailable {
		return
	}
	now, err := http.ParseTime(response.Header.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	asked.Store(int64(parseRetryAfter(response.Header.Get("Retry-After"), now)))
}

// maxRetryAfter is what longer waits are cut to: longer than any that is obeyed.
const maxRetryAfter = 365 * 24 * time.Hour

// parseRetryAfter reads seconds or a date, 0 of anything else.
// Reference: https://www.rfc-editor.org/rfc/rfc9110#field.retry-after
func parseRetryAfter(value string, now time.Time) time.Duration {
	wait := time.Duration(0)
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		wait = at.Sub(now)
	}
	return max(0, min(wait, maxRetryAfter))
}

// maxBackoff is how many times longer than the first wait a later one is.
const maxBackoff = 120

// pause is how long to wait after an attempt: what the answer asked for, or an
// exponential backoff, of which up to a half is random so that the machines of
// one site do not come back together.
func (r *Registry) pause(attempt int, asked time.Duration) time.Duration {
	wait := r.backoff * maxBackoff
	if attempt <= 7 { // 2^7 > maxBackoff
		wait = min(wait, r.backoff<<(attempt-1))
	}
	wait = wait/2 + rand.N(wait/2+1)
	return max(wait, asked)
}

// tell logs, once, that the registry asks to wait.
func (r *Registry) tell(doing string, wait time.Duration) {
	until := time.Now().Add(wait).Unix()
	if last := r.told.Load(); until > last+1 && r.told.CompareAndSwap(last, until) {
		r.log.Warn("the registry asks to wait", "registry", r.Address(), "doing", doing, "wait", wait.Round(time.Second))
	}
}
