package pipeline

import "testing"

func TestCapacity(t *testing.T) {
	for _, test := range []struct {
		name        string
		has         capacity
		jobs, batch int
	}{
		{"a server", capacity{cores: 16, memory: 64 << 30}, 16, 20},
		{"more cores than memory", capacity{cores: 16, memory: 2 << 30}, 4, 16},
		{"a small runner", capacity{cores: 2, memory: 1 << 30}, 2, 8},
		{"hardly any memory", capacity{cores: 8, memory: 100 << 20}, 1, 1},
		{"nobody knows the memory", capacity{cores: 8}, 8, 20},
	} {
		t.Run(test.name, func(t *testing.T) {
			if jobs, batch := test.has.jobs(), test.has.batch(); jobs != test.jobs || batch != test.batch {
				t.Errorf("%d jobs and batches of %d, want %d and %d", jobs, batch, test.jobs, test.batch)
			}
		})
	}
	if own := ownCapacity(); own.cores < 1 || own.memory < 1<<20 {
		t.Errorf("this machine has %+v", own)
	}
}
