package imports

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// readsImages are the packages that have to do with files of images and
// containers. What they open, internal/beneath opens: see TestOpens.
var readsImages = []string{"layers", "layers/dockerfile", "layers/aptpool", "layers/diff", "pipeline", "pipeline/bases", "pipeline/freshness", "pipeline/gate", "pipeline/plan",
	"pipeline/provenance", "pipeline/prune", "pipeline/recipes", "export", "release", "drift", "scan", "cmd/vauban"}

// opens are the functions that open, or may follow a link to, a file.
var opens = map[string][]string{
	"os":       {"ReadFile", "Open", "OpenFile", "OpenInRoot", "OpenRoot", "ReadDir", "DirFS", "CopyFS", "Create", "WriteFile", "Truncate"},
	"fs":       {"ReadFile", "ReadDir", "Glob", "WalkDir"},
	"filepath": {"Glob", "Walk", "WalkDir", "EvalSymlinks"},
	"unix":     {"Open"},
	"syscall":  {"Open"},
	"user":     {"GetExecUserPath", "CurrentUser", "LookupUser"},
}

// reviewed are the functions that may open files by themselves, by package and
// by reason. Before you add one, ask whether a stage, a package or a foreign
// image could have put a device, a pipe, a link or a file of terabytes there.
// If so, it is for internal/beneath.
var reviewed = map[string]map[string][]string{
	"layers": {
		state: {"Engine.enter", "Engine.sweep", "Engine.sweepRun", "run.takeLock",
			"Container.consoleTail", "Container.writeInside", "insideProgram.in"},
		builder: {"Open", "cgroupProcs", "cgroupMountsIn", "killShims", "removeCgroups", "removeCgroup", "readPids",
			"commandOf", "canEnterOthers", "Container.counted", "checkUserNamespaces", "readSysctlsOnce", "entrance.file",
			"Container.ownCgroup", "Container.allowNonlocalBind"},
		fresh: {"mountSysctls", "bind"},
		ended: {"Container.clean", "removeLine", "overlay.clean",
			"overlay.removeFiles", "isEmpty"},
	},
	"layers/dockerfile": {
		repository: {"Step.openContext", "buildContext.match", "buildContext.walk", "realPath", "withholding.findLinks"},
		fresh:      {"mountFile"},
		exclusive:  {"treeEntry.writeFile", "makeMountPoint"},
	},
	"layers/aptpool": {
		state: {"Pool.isRecent", "Pool.viewArchives", "Pool.knownLists", "Pool.RemoveViews", "viewLists", "linkLists", "Pool.KeepArchives",
			"Pool.MarkUsed", "Pool.Bound", "Pool.hasNewer"},
		repository: {"Open"},
		fresh:      {"taker.take", "taker.finish"},
	},
	"pipeline": {
		state: {"linkLogs", "Runner.begin", "logs.open", "logs.fail"},
		fresh: {"copyOut"},
	},
	"pipeline/bases": {
		state:      {"Digests.digest", "Opener.fetched"},
		repository: {"rawDisk"},
		fresh:      {"Opener.keyring", "unpackDisk"},
	},
	"pipeline/freshness": {
		state:      {"inventories.Get", "inventories.tidy", "CheckRecords", "Records.readCopy"},
		repository: {"exclusions"},
	},
	"pipeline/gate":    {repository: {"Secrets.addApt", "Secrets.addRegistry"}},
	"pipeline/prune":   {state: {"pruner.logs", "pruner.caches", "pruner.usage"}},
	"pipeline/recipes": {repository: {"Write", "writeOwn", "writeTree", "OfStage"}},
	"export": {
		builder: {"sweepOutputs", "removeUnlocked"},
		view:    {"findACLs", "matches"},
	},
	"release": {builder: {"describe", "tree.copy", "tree.write", "tree.prunePool", "tree.tidy", "tree.sweep", "eachMaster",
		"Published.ConffsFiles", "readPin", "addPoolUse", "timestamps", "readRelease", "openTree"}},
	"drift":      {fresh: {"Source.sshArguments"}},
	"cmd/vauban": {state: {"exportFlags.conffs"}},
}

// Why a function may open files by itself.
const (
	state      = "files of the state directory, which are ours"
	builder    = "files of the builder: /proc, /sys, its configuration, the published tree"
	repository = "files that config.yml names, or of the playbook repository: trusted"
	fresh      = "new files, in a folder that is ours or where nothing of the image runs yet"
	exclusive  = "new files, made with O_EXCL"
	ended      = "an upperdir whose container has ended: looked at with Lstat, by a path without links"
	view       = "names of a read-only view: opens no file and follows no link"
)

func TestOpens(t *testing.T) {
	for _, pkg := range readsImages {
		unused := map[string]bool{}
		for _, functions := range reviewed[pkg] {
			for _, f := range functions {
				unused[f] = true
			}
		}
		allowed := maps.Clone(unused)
		for _, call := range opensIn(t, filepath.Join("../..", pkg)) {
			delete(unused, call.function)
			if !allowed[call.function] {
				t.Errorf("%s: %s calls %s: files of images are read by internal/beneath; if this is a file of ours, add the function to `reviewed` with the reason",
					call.place, call.function, call.name)
			}
		}
		for function := range unused {
			t.Errorf("package %s, function %s opens no file any more: take it off the list", pkg, function)
		}
	}
}

type opening struct{ place, function, name string }

func opensIn(t *testing.T, dir string) (found []opening) {
	t.Helper()
	files := token.NewFileSet()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(files, filepath.Join(dir, e.Name()), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			found = append(found, opensOf(files, file, d)...)
		}
	}
	return found
}

// opensOf finds the uses in one declaration, calls and values alike.
func opensOf(files *token.FileSet, file *ast.File, d ast.Decl) (found []opening) {
	function := "(package)"
	if f, ok := d.(*ast.FuncDecl); ok {
		function = nameOf(f)
	}
	ast.Inspect(d, func(n ast.Node) bool {
		selector, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		pkg, ok := selector.X.(*ast.Ident)
		if !ok {
			return true
		}
		for _, name := range opens[importedAs(file, pkg.Name)] {
			if name == selector.Sel.Name {
				found = append(found, opening{files.Position(selector.Pos()).String(), function, pkg.Name + "." + name})
			}
		}
		return true
	})
	return found
}

// nameOf is FUNCTION or TYPE.METHOD.
func nameOf(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return f.Name.Name
	}
	kind := f.Recv.List[0].Type
	if pointer, ok := kind.(*ast.StarExpr); ok {
		kind = pointer.X
	}
	if of, ok := kind.(*ast.Ident); ok {
		return of.Name + "." + f.Name.Name
	}
	return f.Name.Name
}

// importedAs is the last part of the path that a file imports under a name.
func importedAs(file *ast.File, name string) string {
	for _, spec := range file.Imports {
		path := strings.Trim(spec.Path.Value, `"`)
		base := path[strings.LastIndexByte(path, '/')+1:]
		if spec.Name != nil && spec.Name.Name == name || spec.Name == nil && base == name {
			return base
		}
	}
	return ""
}

// TestOpensFinds shows that the test would find what it is for.
func TestOpensFinds(t *testing.T) {
	dir := t.TempDir()
	const source = `package x

import (
	"os"
	files "io/fs"
	"path/filepath"
)

var read = os.ReadFile

func a() { _, _ = os.Open("/etc/hosts") }

func (b *T) c() { func() { files.Glob(nil, "x") }(); filepath.Join("a"); os.Getenv("x") }
`
	if err := os.WriteFile(filepath.Join(dir, "x.go"), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range opensIn(t, dir) {
		got = append(got, o.function+": "+o.name)
	}
	want := "(package): os.ReadFile, a: os.Open, T.c: files.Glob"
	if strings.Join(got, ", ") != want {
		t.Errorf("got %q, want %s", got, want)
	}
}
