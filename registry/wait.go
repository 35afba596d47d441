package registry

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"vauban/internal/retry"
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
	if asked, ok := ctx.Value(retryAfterKey{}).(*retryAfter); ok && retry.Asked(response) > 0 {
		asked.Store(int64(retry.Asked(response)))
	}
}

// tell logs, once, that the registry asks to wait.
func (r *Registry) tell(doing string, wait time.Duration) {
	until := time.Now().Add(wait).Unix()
	if last := r.told.Load(); until > last+1 && r.told.CompareAndSwap(last, until) {
		r.log.Warn("the registry asks to wait", "registry", r.Address(), "doing", doing, "wait", wait.Round(time.Second))
	}
}
