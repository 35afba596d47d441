package retry

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"vauban/internal/outward"
)

func TestWaits(t *testing.T) {
	w := Waits{First: 16 * time.Second}
	for i, most := range []time.Duration{16, 32, 60, 60} {
		wait, err := w.Next(0)
		if most *= time.Second; err != nil || wait < most/2 || wait > most {
			t.Errorf("wait %d is %v, %v; want %v to %v", i, wait, err, most/2, most)
		}
	}
	w.Reset()
	if wait, err := w.Next(0); err != nil || wait > w.First {
		t.Errorf("after progress: %v, %v", wait, err)
	}
	if wait, err := w.Next(5 * time.Minute); err != nil || wait != 5*time.Minute {
		t.Errorf("asked for 5m: %v, %v", wait, err)
	}
	if wait, err := w.Next(MaxWait); err == nil {
		t.Errorf("asked for more than is waited in all: %v", wait)
	}
	long := Waits{First: 2 * time.Minute}
	for range 2 {
		if wait, err := long.Next(0); err != nil || wait < time.Minute {
			t.Errorf("a first wait longer than others: %v, %v", wait, err)
		}
	}
	short := Waits{First: time.Second, Total: time.Minute}
	if _, err := short.Next(2 * time.Minute); err == nil {
		t.Error("the total is ignored")
	}
}

func TestSleep(t *testing.T) {
	if err := Sleep(t.Context(), time.Millisecond); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := errors.New("ended")
	cancel(ended)
	if err := Sleep(ctx, time.Hour); !errors.Is(err, ended) {
		t.Error(err)
	}
}

func TestStatus(t *testing.T) {
	for code, want := range map[int]bool{
		400: false, 401: false, 403: false, 404: false, 408: true, 416: false, 429: true,
		499: true, 500: true, 501: false, 502: true, 503: true, 504: true, 505: false,
	} {
		if Status(code) != want {
			t.Errorf("%d: %v", code, !want)
		}
	}
}

func TestNetwork(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{errors.New("connection reset"), true},
		{&net.DNSError{IsTimeout: true}, true},
		{&net.DNSError{IsNotFound: true}, false},
		{x509.UnknownAuthorityError{}, false},
		{x509.HostnameError{Certificate: &x509.Certificate{}}, false},
		{x509.CertificateInvalidError{}, false},
		{http.ErrSchemeMismatch, false},
		{outward.ErrRefused, false},
	} {
		if err := fmt.Errorf("asking: %w", tt.err); Network(err) != tt.want {
			t.Errorf("%v: %v", err, !tt.want)
		}
	}
}
