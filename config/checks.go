package config

import (
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/distribution/reference"
)

// pattern accepts what matches the regular expression re, in words: such as
// example.
func pattern(re, words, example string) check {
	return func(text string) error {
		if regexp.MustCompile(re).MatchString(text) {
			return nil
		}
		return Mistake{What: fmt.Sprintf("%q is not %s", text, words), Do: "write for example " + example}
	}
}

// checkPackage accepts a package as apt-get names it, with a version or an
// architecture.
func checkPackage(text string) error {
	return pattern(`^[a-z0-9][a-z0-9.+:=/~-]*$`, "a package", "linux-image-amd64")(text)
}

// checkOption accepts any text that no program can take for an option.
func checkOption(text string) error {
	if strings.HasPrefix(text, "-") || strings.ContainsFunc(text, isControl) {
		return Mistake{What: fmt.Sprintf("%q is not allowed here", text),
			Why: `a leading "-" reads as an option, and control characters are not allowed`, Do: "correct it"}
	}
	return nil
}

// anyText accepts any text.
func anyText(string) error { return nil }

// checkURL accepts an http or https URL. Its message does not repeat the URL,
// which may hold a password.
func checkURL(text string) error {
	u, err := url.Parse(text)
	if err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" {
		return nil
	}
	return Mistake{What: "this is not a URL that can be fetched", Why: "it must begin with http:// or https:// and a host",
		Do: "write for example https://example.com/debian-12.raw"}
}

// checkImage accepts an image of a registry, by its tag or its digest. What
// stands before an @ may be a password, and is not repeated.
func checkImage(text string) error {
	if _, err := reference.ParseNormalizedNamed(text); err == nil {
		return nil
	}
	what := fmt.Sprintf("%q is not an image", text)
	if strings.Contains(text, "@") {
		what = "this is not an image"
	}
	return Mistake{What: what, Do: "write for example debian:12 or registry.example.com/debian:12@sha256:DIGEST"}
}

// checkMoment accepts a moment as snapshots are named.
func checkMoment(text string) error {
	if _, err := time.Parse(momentLayout, text); err != nil {
		return Mistake{What: fmt.Sprintf("%q is not a timestamp", text), Do: "write for example 20261120T000000Z"}
	}
	return nil
}

// checkName accepts the name of an image; what says whose, with its article.
func checkName(what string) check {
	return func(name string) error {
		element := `[A-Za-z0-9_.][A-Za-z0-9._-]*`
		if regexp.MustCompile(`^`+element+`(/`+element+`)*$`).MatchString(name) &&
			!hasElement(name, ".") && !hasElement(name, "..") {
			return nil
		}
		return Mistake{What: fmt.Sprintf("%s is %q", what, name),
			Why: `a name is made of letters, digits, ".", "_", "-" and "/" between them, and does not begin with "-"`,
			Do:  "rename it"}
	}
}

// maxHostName is how many bytes the kernel takes as a host name, which a
// master's name becomes in its containers.
const maxHostName = 64

func checkMasterName(name string) error {
	if len(name) > maxHostName {
		return Mistake{What: fmt.Sprintf("the master's name %q has %d bytes", name, len(name)),
			Why: fmt.Sprintf("it is the host name of its containers, which has at most %d", maxHostName), Do: "shorten it"}
	}
	return checkName("the master's name")(name)
}

// ParseAge reads a duration as Go does, with d for days and w for weeks.
func ParseAge(text string) (time.Duration, error) {
	const day = 24 * time.Hour
	age, err := time.ParseDuration(text)
	for unit, length := range map[string]time.Duration{"d": day, "w": 7 * day} {
		if number, ok := strings.CutSuffix(text, unit); ok {
			var n uint64
			n, err = strconv.ParseUint(number, 10, 13) // more weeks overflow a Duration
			age = time.Duration(n) * length
		}
	}
	if err != nil || age <= 0 {
		return 0, Mistake{What: fmt.Sprintf("%q is not an age", text), Why: "it must be a positive number with a unit",
			Do: "write for example 30d, 2w or 12h"}
	}
	return age, nil
}
