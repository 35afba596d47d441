package download

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/opencontainers/go-digest"

	"vauban/internal/durable"
	"vauban/internal/retry"
)

// textAttempts are fewer than for a file: there may be what it was last time.
const textAttempts = 3

// Text gives a small file, as a list of digests, that the server has now. When
// the server cannot be asked, or is in trouble, it is what it had last time,
// and the log tells so: what is in the cache is then of use without a network.
func (c Client) Text(ctx context.Context, address string, limit int64) (text []byte, err error) {
	c.Attempts = cmp.Or(c.Attempts, textAttempts)
	c = c.withDefaults()
	server, err := newServer(address, c.Patience)
	if err != nil {
		return nil, err
	}
	defer server.close()
	dir := filepath.Join(c.Dir, "text-"+digest.FromString(address).Encoded())
	path := filepath.Join(dir, "file")
	err = c.retry(ctx, server, func() (came bool, err error) {
		text, err = server.text(ctx, limit)
		return false, err
	})
	if err == nil {
		return text, keepText(dir, path, text)
	}
	var status *statusError
	if ctx.Err() != nil || errors.As(err, &status) && !retry.Status(status.code) || errors.Is(err, errTooLong) {
		return nil, err
	}
	kept, notKept := os.ReadFile(path)
	info, notKnown := os.Stat(path)
	if notKept != nil || notKnown != nil {
		return nil, err
	}
	c.Log.Warn("a file cannot be asked for, and is taken as it was", "at", info.ModTime().Format(time.RFC3339), "error", err)
	return kept, nil
}

func keepText(dir, path string, text []byte) error {
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		now := time.Now()
		err = os.Chtimes(dir, now, now)
	}
	if err != nil {
		return fmt.Errorf("keeping a download: %w", err)
	}
	if err := durable.WriteFile(path, text, 0o600); err != nil {
		return fmt.Errorf("keeping a download: %w", err)
	}
	return nil
}

// errTooLong is the kind of a text that is none.
var errTooLong = errors.New("it is too long")

// text is a whole file of at most limit bytes.
func (s *server) text(ctx context.Context, limit int64) ([]byte, error) {
	body, _, _, err := s.get(ctx, 0)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	text, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("%w: more than %d bytes", errTooLong, limit)
	}
	return text, err
}
