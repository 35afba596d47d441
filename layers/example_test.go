package layers_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"

	"vauban/layers"
)

// greeting is a step that writes /etc/motd in each container.
type greeting string

// Key depends on the text alone, so the same greeting need not run again.
func (g greeting) Key(_ context.Context, host string) (digest.Digest, error) {
	return digest.FromString("greeting\n" + host + "\n" + string(g)), nil
}

// Run reports which containers failed: the others are committed all the same.
func (g greeting) Run(ctx context.Context, containers []*layers.Container) error {
	failed := map[string]error{}
	for _, c := range containers {
		err := c.Exec(ctx, layers.Process{Args: []string{"/bin/sh", "-c", "cat >/etc/motd"}, Stdin: strings.NewReader(string(g))})
		if err != nil {
			failed[c.Name()] = err
		}
	}
	if len(failed) > 0 {
		return &layers.PartialError{Failed: failed}
	}
	return nil
}

// A step changes running root filesystems; the engine makes a layer of what it
// changed in each: Engine.Apply(ctx, step, change, targets...).
func ExampleStep() {
	var step layers.Step = greeting("Welcome\n")
	ctx := context.Background()
	master, _ := step.Key(ctx, "")
	host, _ := step.Key(ctx, "web01")
	again, _ := step.Key(ctx, "web01")
	fmt.Println(master == host, host == again)
	// Output: false true
}
