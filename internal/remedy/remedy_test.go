package remedy

import "testing"

func TestText(t *testing.T) {
	for _, tt := range []struct{ what, why, do, want string }{
		{"x is missing", "", "", "x is missing"},
		{"x is missing", "y needs it", "", "x is missing (y needs it)"},
		{"x is missing", "", "install it", "x is missing: install it"},
		{"x is missing", "y needs it", "install it", "x is missing (y needs it): install it"},
	} {
		if got := Text(tt.what, tt.why, tt.do); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}
