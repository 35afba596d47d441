package ansible

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestVariables(t *testing.T) {
	enter := []string{"/proc/1/fd/9", "/run/enter-1"}
	environment := []string{"PATH=/bin", "SYSTEMD_OFFLINE=1", "container=va uban", "LC_ALL=C.UTF-8"}
	got := target{name: "web1", enter: enter, environment: environment}.variables()
	want := []string{"SYSTEMD_OFFLINE=1", "LC_ALL=C.UTF-8"} // no quoting in a shell
	if diff := cmp.Diff(want, got["vauban_environment"]); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(enter, got["vauban_enter"]); diff != "" {
		t.Error(diff)
	}
}
