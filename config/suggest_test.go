package config

import "testing"

func TestNearest(t *testing.T) {
	known := []string{"stages", "branch", "conffs", "kernel"}
	for word, want := range map[string]string{
		"staged": "stages", "stage": "stages", "Stages": "stages", "brnach": "branch", "confs": "conffs",
		"kernels": "kernel", "master-12": "", "x": "", "": "",
	} {
		if got := nearest(word, known); got != want {
			t.Errorf("nearest(%q) = %q, want %q", word, got, want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "ab", 2}, {"ab", "", 2}, {"ab", "ba", 1}, {"kitten", "sitting", 3}, {"été", "ete", 2}} {
		if got := distance(tt.a, tt.b); got != tt.want {
			t.Errorf("distance(%q, %q) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}
