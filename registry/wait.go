package registry

import (
	"context"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"

	"vauban/internal/pace"
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
	if asked, ok := ctx.Value(retryAfterKey{}).(*retryAfter); ok && pace.Asked(response) > 0 {
		asked.Store(int64(pace.Asked(response)))
	}
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
