package registry_test

import (
	"fmt"
	"log"
	"time"

	"vauban/registry"
)

func ExampleParseSource() {
	for _, text := range []string{"debian:12", "registry.example.com:5000/bases/debian"} {
		s, err := registry.ParseSource(text)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(s.Hostname, s.Image, s.Tag)
	}
	// Output:
	// docker.io library/debian 12
	// registry.example.com:5000 bases/debian latest
}

func ExampleTimestamp() {
	tag := registry.Timestamp(time.Date(2026, 11, 20, 22, 13, 48, 0, time.FixedZone("CET", 3600)))
	at, ok := registry.ParseTimestamp(tag)
	fmt.Println(tag, at.Hour(), ok)
	// Output: 2026-11-20T211348Z 21 true
}

func ExampleSplitReference() {
	fmt.Println(registry.SplitReference("registry.example.com:5000/web:2026-11-20T211348Z"))
	fmt.Println(registry.SplitReference("master-12-web"))
	// Output:
	// registry.example.com:5000/web 2026-11-20T211348Z
	// master-12-web
}
