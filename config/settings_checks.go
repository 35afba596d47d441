package config

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"

	"github.com/docker/go-units"
	"mvdan.cc/sh/v3/shell"
	"mvdan.cc/sh/v3/syntax"
)

// The checks of settings. Their messages follow the name of the setting, and
// never repeat its value, which may be secret or hold a password.

const registryPattern = `^([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(:[0-9]{1,5})?(/[a-z0-9._-]+)*$`

func checkRegistry(value string) error {
	if regexp.MustCompile(registryPattern).MatchString(value) && !strings.HasPrefix(value, "-") {
		return nil
	}
	return Mistake{What: "is not a registry", Why: "it must be HOST[:PORT][/PROJECT]",
		Do: `leave out "https://" and any "/" at the end`}
}

func checkNoOption(value string) error {
	for _, item := range splitList(value) {
		if strings.HasPrefix(item, "-") {
			return Mistake{What: "cannot be used", Why: `a leading "-" reads as an option`, Do: "correct it"}
		}
	}
	return nil
}

// checkRepository refuses what git would take for a URL and nobody else can
// read: its password could not be told from the rest, and would show.
func checkRepository(value string) error {
	if _, err := url.Parse(value); err != nil && strings.Contains(value, "://") {
		return Mistake{What: "is not a URL", Why: "a password in one must have its special characters as %XX",
			Do: "leave the password out and set GIT_TOKEN_USERNAME and GIT_TOKEN_PASSWORD"}
	}
	return checkNoOption(value)
}

// checkWords accepts what a shell would split into words.
func checkWords(value string) error {
	_, err := shell.Fields(value, func(string) string { return "" })
	if err == nil {
		return nil
	}
	what := "cannot be split into words"
	if parsing, ok := errors.AsType[syntax.ParseError](err); ok {
		what += fmt.Sprintf(" at column %d", parsing.Pos.Col())
	}
	return Mistake{What: what, Why: "it is read as a shell would", Do: "close its quotes, and write values, not commands"}
}

func checkRootDir(value string) error {
	if path.IsAbs(value) || hasElement(value, "..") || strings.HasPrefix(value, "-") {
		return Mistake{What: "leaves the repository", Why: "it is the folder of the playbooks in ANSIBLE_REPO",
			Do: `write a relative path without ".."`}
	}
	return nil
}

func checkEngine(value string) error {
	if value == "local" || value == "vault" {
		return nil
	}
	return Mistake{What: "has an unknown value", Why: "it must be local or vault", Do: "correct it"}
}

func checkServer(value string) error {
	u, err := url.Parse(value)
	if err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" {
		return nil
	}
	return Mistake{What: "is not a URL", Why: "it must begin with http:// or https:// and a host", Do: "correct it"}
}

// checkProxy accepts a server without a password: the setting is not secret.
func checkProxy(value string) error {
	if err := checkServer(value); err != nil {
		return err
	}
	if u, err := url.Parse(value); err == nil && u.User != nil || strings.ContainsAny(value, "\"\\; \t\n") {
		return Mistake{What: "holds more than an address", Why: "it is not secret, and becomes part of apt's configuration during builds",
			Do: "write http://HOST:PORT, and put a name and password in APT_AUTH_FILE"}
	}
	return nil
}

func checkSize(value string) error {
	if size, err := units.RAMInBytes(value); err != nil || size <= 0 {
		return Mistake{What: "is not a size", Why: "it must be a positive number of bytes, or one with a unit of 1024", Do: "write for example 4GiB"}
	}
	return nil
}

// checkBase64 accepts base64 with line breaks, as base64(1) wraps it.
func checkBase64(value string) error {
	if _, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(value), "")); err != nil {
		return Mistake{What: "is not base64", Why: "the key is kept in one line",
			Do: "write what `base64 -w0 KEYFILE` prints"}
	}
	return nil
}

// isLocalRepository tells a path from a URL as git does: a URL has a scheme,
// or a colon before any slash (host:path).
// Source: git-clone(1), "Git URLs".
func isLocalRepository(value string) bool {
	beforeColon, _, hasColon := strings.Cut(value, ":")
	return !hasColon || strings.Contains(beforeColon, "/")
}

func hasSlash(value string) bool { return strings.Contains(value, "/") }
