package dockerfile

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseRunMount(t *testing.T) {
	for text, want := range map[string]runMount{
		"target=/x":                       {kind: mountBind, source: ".", target: "/x", readOnly: true},
		"type=bind,src=a,dst=b,rw":        {kind: mountBind, source: "a", target: "b"},
		"type=cache,target=/var/cache/x/": {kind: mountCache, id: "/var/cache/x", target: "/var/cache/x/", mode: 0o755},
		"type=cache,id=go,target=/root/go,sharing=locked,mode=0700,uid=5,gid=6": {kind: mountCache, id: "go",
			target: "/root/go", locked: true, mode: 0o700, owner: fileOwner{5, 6}},
		"type=tmpfs,target=/x,size=64m":                {kind: mountTmpfs, target: "/x", size: 64 << 20, mode: 0o1777},
		"type=secret,id=token":                         {kind: mountSecret, id: "token", target: "/run/secrets/token", mode: 0o400},
		"type=secret,target=/etc/key,required":         {kind: mountSecret, id: "key", target: "/etc/key", mode: 0o400, required: true},
		`"target=/with,comma",type=cache,readonly`:     {kind: mountCache, id: "/with,comma", target: "/with,comma", mode: 0o755, readOnly: true},
		"type=secret,id=a/b,mode=0440,required=false":  {kind: mountSecret, id: "a/b", target: "/run/secrets/b", mode: 0o440},
		"type=bind,target=/x,readonly=false,source=/a": {kind: mountBind, source: "/a", target: "/x"},
	} {
		got, err := parseRunMount(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(runMount{}, fileOwner{})); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
}

func TestParseRunMountRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"type=cache":                        "no target",
		"type=secret":                       "no target",
		"type=tmpfs,target=/":               "root directory",
		"type=cache,target=/x/..":           "root directory",
		"type=ssh":                          "not supported",
		"type=tmpfs,target=/x,id=a":         `no option "id"`,
		"type=cache,target=/x,size=1":       `no option "size"`,
		"type=cache,target=/x,from=other":   `no option "from"`,
		"target=/x,mode=0700":               `no option "mode"`,
		"type=tmpfs,target=/x,size=much":    "must be like",
		"type=tmpfs,target=/x,size=9999g9":  "must be like",
		"type=cache,target=/x,sharing=some": "shared, private or locked",
		"type=cache,target=/x,uid=www-data": "must be a number",
		"type=cache,target=/x,ro=perhaps":   "invalid syntax",
		`type=cache,target="/x`:             "bare",
	} {
		if _, err := parseRunMount(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: the error is %v; want %q", text, err, want)
		}
	}
}

func FuzzParseRunMount(f *testing.F) {
	for _, seed := range []string{"type=cache,id=../x,target=/x", "target=.", "type=secret,id=..", "type=tmpfs,target=a,size=1k", `"a","b`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		m, err := parseRunMount(text)
		if err != nil {
			return
		}
		if m.target == "" || m.size < 0 || m.mode > 0o7777 || m.owner.uid < 0 || m.owner.gid < 0 {
			t.Errorf("%q gives %+v", text, m)
		}
		if m.kind == mountCache {
			name := cacheName(m.id)
			if name == "" || name[0] == '.' || strings.ContainsAny(name, "/\x00") || len(name) > 255 {
				t.Errorf("the cache %q is kept as %q", m.id, name)
			}
		}
	})
}

func TestCacheNamesDiffer(t *testing.T) {
	names := map[string]string{}
	for _, id := range []string{"go", "/go", ".", "..", "%2E", "%2E.", "a/b", "a%2Fb", strings.Repeat("x", 300), strings.Repeat("x", 301)} {
		name := cacheName(id)
		if other, ok := names[name]; ok {
			t.Errorf("the caches %q and %q are both kept as %q", id, other, name)
		}
		names[name] = id
	}
}
