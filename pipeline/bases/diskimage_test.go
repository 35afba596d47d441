package bases

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParsePartitions(t *testing.T) {
	const out = `START="262144" SECTORS="6027264" TYPE="4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"
START="2048" SECTORS="6144" TYPE="21686148-6449-6e6f-744e-656564454649"

START="2048" SECTORS="81920" TYPE="0x83"
`
	want := []partition{
		{262144 * 512, 6027264 * 512, rootPartition},
		{2048 * 512, 6144 * 512, "21686148-6449-6e6f-744e-656564454649"},
		{2048 * 512, 81920 * 512, mbrPartition},
	}
	got, err := parsePartitions(out)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(partition{})); diff != "" {
		t.Error(diff)
	}
	for _, out := range []string{"x", `START="-1" SECTORS="1" TYPE="0x83"`, `START="1" SECTORS="9999999999999999" TYPE="0x83"`} {
		if _, err := parsePartitions(out); err == nil {
			t.Errorf("%q is read as partitions", out)
		}
	}
}

func FuzzParsePartitions(f *testing.F) {
	f.Add(`START="2048" SECTORS="81920" TYPE="0x83"`)
	f.Fuzz(func(t *testing.T, out string) {
		parts, err := parsePartitions(out)
		for _, p := range parts {
			if p.offset < 0 || p.size < 0 || err != nil {
				t.Errorf("%q is read as %v: %v", out, parts, err)
			}
		}
	})
}
