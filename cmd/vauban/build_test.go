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
	warnOfUnused(slog.New(slog.NewTextHandler(&said, nil)), config.Settings{UploadDir: "pxe", UploadCISSHUsername: "ci"})
	if strings.Count(said.String(), "\n") != 1 || !strings.Contains(said.String(), "setting=UPLOAD_CI_SSH_USERNAME") {
		t.Errorf("it said %q", said.String())
	}
}
