package pipeline

import "testing"

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
