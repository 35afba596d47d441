package pipeline

import (
	"cmp"
	"testing"

	"vauban/pipeline/provenance"
)

func TestCompareVersions(t *testing.T) {
	ordered := []string{"5.10.0-9-amd64", "5.10.0-10-amd64", "6.1.0-37-amd64", "6.1.0-37-cloud-amd64", "6.1.0-40-amd64", "6.12.1"}
	for i, a := range ordered {
		for j, b := range ordered {
			got := compareVersions(a, b)
			if got < 0 != (i < j) || got > 0 != (i > j) {
				t.Errorf("%s against %s: %d", a, b, got)
			}
		}
	}
}

// A label of an image made elsewhere names as many layers as there are, or none.
func FuzzBaseLayers(f *testing.F) {
	for _, seed := range []string{"", "1", "-1", "99999999999999999999", "0x1", "1e3"} {
		f.Add(seed, 3)
	}
	f.Fuzz(func(t *testing.T, label string, layers int) {
		if count, ok := baseLayers(map[string]string{provenance.LabelBaseSize: label}, layers); ok && (count < 1 || count > layers) {
			t.Errorf("%q: %d of %d layers", label, count, layers)
		}
	})
}

// Versions of kernels, which are names of an image's directories, have one order.
func FuzzCompareVersions(f *testing.F) {
	f.Add("6.1.0-9-amd64", "6.1.0-10-amd64", "6.1.0-10-cloud-amd64")
	f.Add("", "99999999999999999999", "99999999999999999998")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		sign := func(n int) int { return cmp.Compare(n, 0) }
		if sign(compareVersions(a, b)) != -sign(compareVersions(b, a)) {
			t.Errorf("%q and %q: %d, and %d the other way round", a, b, compareVersions(a, b), compareVersions(b, a))
		}
		if compareVersions(a, b) <= 0 && compareVersions(b, c) <= 0 && compareVersions(a, c) > 0 {
			t.Errorf("%q <= %q <= %q < %q", a, b, c, a)
		}
	})
}
