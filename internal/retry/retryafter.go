package retry

import (
	"net/http"
	"strconv"
	"time"
)

// MaxRetryAfter is what longer waits are cut to: longer than any that should be
// obeyed.
const MaxRetryAfter = 365 * 24 * time.Hour

// Asked is how long a server that limits requests, or is in trouble, asks to wait
// before the same request is made again; 0 of any other answer.
func Asked(response *http.Response) time.Duration {
	if response.StatusCode != http.StatusTooManyRequests && response.StatusCode != http.StatusServiceUnavailable {
		return 0
	}
	return RetryAfter(response)
}

// RetryAfter is how long an answer asks to wait before the next request, 0 when it
// does not.
func RetryAfter(response *http.Response) time.Duration {
	now, err := http.ParseTime(response.Header.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	return parseRetryAfter(response.Header.Get("Retry-After"), now)
}

// parseRetryAfter reads seconds or a date, 0 of anything else.
// Reference: https://www.rfc-editor.org/rfc/rfc9110#field.retry-after
func parseRetryAfter(value string, now time.Time) time.Duration {
	wait := time.Duration(0)
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		wait = at.Sub(now)
	}
	return max(0, min(wait, MaxRetryAfter))
}
