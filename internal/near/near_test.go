package near

import (
	"slices"
	"testing"
)

func TestWords(t *testing.T) {
	known := []string{"stages", "branch", "conffs", "kernel", "main", "branches"}
	for word, want := range map[string][]string{
		"staged": {"stages"}, "stage": {"stages"}, "Stages": {"stages"}, "brnach": {"branch"}, "confs": {"conffs"},
		"kernels": {"kernel"}, "mian": {"main"}, "branche": {"branch", "branches"}, "master-12": {}, "x": {}, "": {},
	} {
		if got := Words(word, known); !slices.Equal(got, want) {
			t.Errorf("Words(%q) = %q, want %q", word, got, want)
		}
	}
	if got := Words("main", nil); len(got) != 0 {
		t.Errorf("nothing is near to nothing: %q", got)
	}
}

func TestQuestion(t *testing.T) {
	for want, words := range map[string][]string{
		"": {}, `did you mean "a"?`: {"a"}, `did you mean "a", "b" or "c"?`: {"a", "b", "c", "d"},
	} {
		if got := Question(words); got != want {
			t.Errorf("Question(%q) = %q, want %q", words, got, want)
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
