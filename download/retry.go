package download

import (
	"context"
	"errors"
	"fmt"
	"time"

	"vauban/internal/retry"
)

// minProgress is what must have come for a request not to count as one that
// failed, in bytes: a server that sends a byte and breaks off would hold a run
// for ever.
const minProgress = 64 << 10

// retry makes a request until it succeeds, fails for a lasting reason, or was
// made often enough without anything having come.
func (c Client) retry(ctx context.Context, server *server, request func() (came bool, err error)) error {
	waits := retry.Waits{First: c.Backoff}
	for attempt := 1; ; attempt++ {
		came, err := request()
		if err == nil {
			return nil
		}
		if came {
			attempt = 1
			waits.Reset()
		}
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		asked := time.Duration(0)
		if status, ok := errors.AsType[*statusError](err); ok && status.wait > 0 {
			attempt-- // a server that says when to come back is no failure
			asked = status.wait
		}
		if ctx.Err() != nil || attempt >= c.Attempts || !isTransient(err) {
			return fmt.Errorf("downloading %s: %w", server, err)
		}
		wait, tooLong := waits.Next(asked)
		if tooLong != nil {
			return fmt.Errorf("downloading %s: %w: %w", server, err, tooLong)
		}
		c.Log.Info("a download goes on after a failure", "from", server.String(), "wait", wait, "cause", err)
		_ = retry.Sleep(ctx, wait) // the next request says why
	}
}

// isTransient reports whether the same request may succeed later.
func isTransient(err error) bool {
	if status, ok := errors.AsType[*statusError](err); ok {
		return retry.Status(status.code)
	}
	return retry.Network(err) && !errors.Is(err, errDisk) && !errors.Is(err, errRedirects) && !errors.Is(err, errTooLong)
}
