package retry

import (
	"net/http"
	"testing"
	"time"
)

func TestParseRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "0": 0, "120": 2 * time.Minute, "-1": 0, "1e9": 0, "x": 0, "99999999999999999999": 0,
		"2147483647":                    MaxRetryAfter,
		"Fri, 02 Jan 2026 03:05:05 GMT": time.Minute,
		"Fri, 02 Jan 2026 03:04:00 GMT": 0,
		"Fri, 02 Jan 9026 03:04:00 GMT": MaxRetryAfter,
	} {
		if got := parseRetryAfter(value, now); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
}

func TestAsked(t *testing.T) {
	for status, want := range map[int]time.Duration{429: time.Minute, 503: time.Minute, 200: 0, 301: 0, 500: 0} {
		response := &http.Response{StatusCode: status, Header: http.Header{"Retry-After": {"60"}}}
		if got := Asked(response); got != want {
			t.Errorf("%d: %v, want %v", status, got, want)
		}
	}
}

func FuzzParseRetryAfter(f *testing.F) {
	for _, seed := range []string{"", "120", "-1", "Fri, 02 Jan 2026 03:05:05 GMT", "Friday, 02-Jan-26 03:05:05 GMT", "2147483648"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if wait := parseRetryAfter(value, time.Unix(0, 0)); wait < 0 || wait > MaxRetryAfter {
			t.Errorf("%v", wait)
		}
	})
}
