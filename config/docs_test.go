package config

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDocumentation loads every example of docs/configuration.md, and looks
// there for every key and setting.
func TestDocumentation(t *testing.T) {
	data, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)

	examples := regexp.MustCompile("(?s)```(yaml|sh)\n(.*?)```").FindAllStringSubmatch(text, -1)
	if len(examples) < 5 {
		t.Errorf("%d examples found", len(examples))
	}
	for _, example := range examples {
		if example[1] == "sh" {
			_, err = parseSecretsEnv(".secrets.env", example[2])
		} else {
			_, err = read("config.yml", example[2])
		}
		if err != nil {
			t.Errorf("an example is wrong: %v\n%s", err, example[2])
		}
	}

	r := newReader("")
	words := settingNames()
	words = slices.AppendSeq(words, maps.Keys(r.baseFields(&Base{})))
	words = slices.AppendSeq(words, maps.Keys(r.masterFields(&Master{})))
	for key := range r.configurationFields(&Config{}) {
		if !slices.Contains(settingNames(), strings.ToUpper(key)) {
			words = append(words, key)
		}
	}
	for _, word := range words {
		if !regexp.MustCompile("(?m)^\\|.*`" + word + "`.*\\|").MatchString(text) {
			t.Errorf("no table explains %q", word)
		}
	}
	for _, secret := range secretNames() {
		if !strings.Contains(text, "`"+secret+"` (secret)") {
			t.Errorf("%s is not said to be a secret", secret)
		}
	}
}

// TestDemo loads the configuration that the demo builds.
func TestDemo(t *testing.T) {
	c, err := Load("../config.yml")
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Masters()) < 4 {
		t.Errorf("the demo has %d masters", len(c.Masters()))
	}
}
