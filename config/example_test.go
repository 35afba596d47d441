package config_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"vauban/config"
)

func ExampleLoad() {
	dir, err := os.MkdirTemp("", "example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "config.yml")
	err = os.WriteFile(file, []byte(`
bookworm:
  web:
    stages: [nginx.yml, staging@tuning.yml]
    conffs: web*
`), 0o600)
	if err != nil {
		log.Fatal(err)
	}
	cfg, err := config.Load(file)
	if err != nil {
		log.Fatal(err) // every mistake of the file, each with its place
	}
	for _, m := range cfg.Masters() {
		fmt.Printf("%s on %s\n", m.Image(), m.Base.Image())
		for _, s := range m.Stages {
			fmt.Printf("  %s from %q\n", s.Playbook, s.Branch)
		}
	}
	// Output:
	// web on bookworm
	//   nginx.yml from ""
	//   tuning.yml from "staging"
}
