//go:build integration

package provenance

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vauban/internal/beneath"
	"vauban/internal/hostile"
)

// TestHostileTraces records stages in systems whose files are hostile: each
// ends, and nothing of the builder gets into a label.
func TestHostileTraces(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("stages:\n- "+hostile.Secret+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	step := &traced{iso: "base", date: time.Unix(0, 0)}
	readers := map[string]func(context.Context) (string, error){
		dpkgStatus:        func(ctx context.Context) (string, error) { _, err := readPackages(ctx); return "", err },
		aptExtendedStates: func(ctx context.Context) (string, error) { _, err := readPackages(ctx); return "", err },
		string(imginfoList): func(ctx context.Context) (string, error) {
			text, err := step.extendFile(ctx, imginfoList, imginfoHead("base", step.date), aStage.lines())
			return string(text), err
		},
		string(packagesList): func(ctx context.Context) (string, error) {
			text, err := step.extendFile(ctx, packagesList, packagesHead, PackageChanges{Packages: "+ a\n"}.lines())
			return string(text), err
		},
	}
	kinds := hostile.Kinds(secret)
	for file, read := range readers {
		for _, k := range kinds {
			root := t.TempDir()
			if err := hostile.Plant(root, file, k); err != nil {
				t.Fatal(err)
			}
			var text string
			err := hostile.In(root, func() (err error) {
				text, err = read(t.Context())
				return err
			})
			if strings.Contains(text, "builder") {
				t.Errorf("%s, %s: a file of the builder was read: %s", file, k.Name, text)
			}
			switch {
			case k.Missing && err != nil && !errors.Is(err, fs.ErrNotExist):
				t.Errorf("%s, %s: %v", file, k.Name, err)
			case !k.Missing && !errors.Is(err, beneath.ErrRefused):
				t.Errorf("%s, %s: %v", file, k.Name, err)
			}
		}
	}
	t.Logf("hostile files: %d kinds × %d readers", len(kinds), len(readers))
}
