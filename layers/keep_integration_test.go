//go:build integration

package layers

import (
	"context"
	"io"
	"testing"
)

// A layer that another run made is there for this one when the other ends:
// between finding it and naming it in a manifest nothing else keeps it.
func TestAKnownLayerStays(t *testing.T) {
	dir := t.TempDir()
	maker, finder := openHere(t, dir), openHere(t, dir)
	defer finder.Close()
	l, err := maker.storeLayer(maker.Context(t.Context()), func(w io.Writer) error {
		_, err := io.WriteString(w, "a layer")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx := finder.Context(t.Context())
	found, ok, err := finder.known(ctx, l.diffID)
	if err != nil || !ok || found.Digest != l.blob.Digest {
		t.Errorf("found %v (%v), error %v; want %v", found, ok, err, l.blob)
	}
	if err := maker.Close(); err != nil { // which collects garbage
		t.Fatal(err)
	}
	if _, err := finder.Store().Info(ctx, l.blob.Digest); err != nil {
		t.Error(err)
	}
}

func openHere(t *testing.T, dir string) *Engine {
	t.Helper()
	e, err := Open(context.Background(), Options{StateDir: dir, Embedded: true, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return e
}
