package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"vauban/config"
)

func TestWarnOfUnused(t *testing.T) {
	var said bytes.Buffer
	warnOfUnused(slog.New(slog.NewTextHandler(&said, nil)), config.Settings{UploadDir: "pxe", DebianAptGetProxy: "http://proxy.example.com"})
	if strings.Count(said.String(), "\n") != 1 || !strings.Contains(said.String(), "setting=DEBIAN_APT_GET_PROXY") {
		t.Errorf("it said %q", said.String())
	}
}
