package freshness

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"vauban/ansible"
	"vauban/ansible/repository"
)

func sampleRecord() *Record {
	return &Record{
		Image: digest.FromString("image"), Parent: digest.FromString("parent"), Made: time.Date(2026, 11, 20, 21, 13, 48, 0, time.UTC),
		Inputs: ansible.Inputs{"network": "0123"},
		Stages: []StageRecord{{Stage: "play.yml", Branch: "main", Commit: "c1", Inputs: ansible.Inputs{"facts": "45"},
			Reads: repository.Reads{Files: []string{"a", "b"}, Listed: []string{"d"}}}},
	}
}

func TestRecordIsStored(t *testing.T) {
	r := sampleRecord()
	r.SetHosts(HostRun{Master: r.Image, Made: r.Made}, map[string]digest.Digest{"web1": digest.FromString("w")}, nil)
	first, err := r.encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeRecord(first)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, got); diff != "" {
		t.Error(diff)
	}
	again, err := got.encode()
	if err != nil || !bytes.Equal(first, again) {
		t.Errorf("the same record has other bytes (%v)", err)
	}
}

// TestSetHosts: hosts keep the run that made them, and runs without hosts go.
func TestSetHosts(t *testing.T) {
	image := digest.FromString
	r := sampleRecord()
	runs := func() (masters []digest.Digest) {
		for _, run := range r.Runs {
			masters = append(masters, run.Master)
		}
		return masters
	}
	r.SetHosts(HostRun{Master: image("m1")}, map[string]digest.Digest{"web1": image("1"), "web2": image("2")}, []string{"web1", "web2"})
	r.SetHosts(HostRun{Master: image("m2")}, map[string]digest.Digest{"web2": image("2b")}, []string{"web1", "web2"})
	if diff := cmp.Diff([]digest.Digest{image("m1"), image("m2")}, runs()); diff != "" {
		t.Error(diff)
	}
	r.SetHosts(HostRun{Master: image("m3")}, map[string]digest.Digest{"web1": image("1c")}, []string{"web1", "web2"})
	if diff := cmp.Diff([]digest.Digest{image("m2"), image("m3")}, runs()); diff != "" {
		t.Error(diff)
	}
	want := map[string]HostRecord{"web1": {image("1c"), 1}, "web2": {image("2b"), 0}}
	if diff := cmp.Diff(want, r.Hosts); diff != "" {
		t.Error(diff)
	}
	r.SetHosts(HostRun{Master: image("m4")}, nil, []string{"web2"}) // the inventory lost web1
	if diff := cmp.Diff(map[string]HostRecord{"web2": {image("2b"), 0}}, r.Hosts); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]digest.Digest{image("m2")}, runs()); diff != "" {
		t.Error(diff)
	}
}

// TestSetHostsOfAnOlderRun: runs that overlap may end in any order.
func TestSetHostsOfAnOlderRun(t *testing.T) {
	r, now := sampleRecord(), time.Date(2026, 11, 20, 21, 13, 48, 0, time.UTC)
	newer, older := digest.FromString("newer"), digest.FromString("older")
	r.SetHosts(HostRun{Made: now}, map[string]digest.Digest{"web1": newer}, nil)
	r.SetHosts(HostRun{Made: now.Add(-time.Hour)}, map[string]digest.Digest{"web1": older, "web2": older}, nil)
	if r.Hosts["web1"].Image != newer || r.Hosts["web2"].Image != older || len(r.Runs) != 2 {
		t.Errorf("hosts %v of %d runs", r.Hosts, len(r.Runs))
	}
}

func FuzzDecodeRecord(f *testing.F) {
	r := sampleRecord()
	r.SetHosts(HostRun{Master: r.Image}, map[string]digest.Digest{"web1": r.Image}, nil)
	data, err := r.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := decodeRecord(data)
		if err != nil {
			return
		}
		for name, h := range r.Hosts {
			_ = r.Runs[h.Run]
			_ = name
		}
	})
}

// What is packed in a registry unpacks to a bounded size.
func FuzzUnpack(f *testing.F) {
	for _, seed := range []string{"", "{}", strings.Repeat("x", 1000)} {
		packed, err := pack([]byte(seed))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packed)
	}
	f.Fuzz(func(t *testing.T, packed []byte) {
		if data, err := unpack(packed); err == nil && len(data) > maxRecord {
			t.Errorf("%d bytes", len(data))
		}
	})
}
