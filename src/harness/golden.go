package harness

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// goldenFolder lies beside each overlay's own files, so that a pull request shows what comes out next to what went in.
// Argo CD does not look there: the Applications name the overlay's files as *.yaml of its folder.
const goldenFolder = "golden"

// longText is how much of one value a person reads in a diff; a dashboard is longer, and has a file of its own already.
const longText = 4 << 10

// noisyLabels say which release of the chart made an object: they would change every file, and change nothing that runs.
var noisyLabels = []string{"helm.sh/chart", "app.kubernetes.io/version"}

// Golden returns what a reviewer reads of an overlay's render, by file name: each object, and who may talk to whom. It
// leaves out the chart's version, the values of Secrets and very long texts, of which it keeps a digest.
func (o *Overlay) Golden() (map[string][]byte, error) {
	files := map[string][]byte{"reach.md": reachTable(o)}
	for _, object := range o.Objects {
		name := goldenName(object)
		if _, taken := files[name]; taken { // the same kind in two groups or namespaces
			name = strings.TrimSuffix(name, ".yaml") + "." + object.GroupVersionKind().Group + "." + object.GetNamespace() + ".yaml"
		}
		data, err := yaml.Marshal(quiet(object).Object)
		if err != nil {
			return nil, fmt.Errorf("writing %s: %w", object.ID(), err)
		}
		files[name] = data
	}
	return files, nil
}

// goldenName is a file name whatever the object is called.
func goldenName(o Object) string {
	return strings.NewReplacer("/", "_", ":", "_", `\`, "_").Replace(strings.ToLower(o.GetKind())+"."+o.GetName()) + ".yaml"
}

// quiet copies an object without what Golden leaves out.
func quiet(o Object) *unstructured.Unstructured {
	copied := o.DeepCopy()
	kept := copied.GetLabels()
	for _, label := range noisyLabels {
		delete(kept, label)
	}
	copied.SetLabels(kept)
	switch o.GetKind() {
	case "Secret":
		for _, field := range []string{"data", "stringData"} {
			texts, _, _ := unstructured.NestedStringMap(copied.Object, field)
			for key := range texts {
				_ = unstructured.SetNestedField(copied.Object, "(not shown)", field, key) // it is a map, or there were no texts
			}
		}
	case "ConfigMap":
		texts, _, _ := unstructured.NestedStringMap(copied.Object, "data")
		for key, text := range texts {
			if len(text) > longText {
				digest := fmt.Sprintf("(%d bytes, sha256 %.12x)", len(text), sha256.Sum256([]byte(text)))
				_ = unstructured.SetNestedField(copied.Object, digest, "data", key)
			}
		}
	}
	return copied
}

// GoldenChanges compares the golden files with the render and returns the paths that differ, sorted.
func (r *Render) GoldenChanges() ([]string, error) {
	var stale []string
	for _, o := range r.Overlays {
		want, err := o.Golden()
		if err != nil {
			return nil, err
		}
		dir := path.Join(o.Dir, goldenFolder)
		for name, data := range want {
			got, err := r.Read(path.Join(dir, name))
			if errors.Is(err, fs.ErrNotExist) || err == nil && !bytes.Equal(got, data) {
				stale = append(stale, path.Join(dir, name))
			} else if err != nil {
				return nil, err
			}
		}
		for _, file := range r.Under(dir) {
			if _, wanted := want[path.Base(file)]; !wanted {
				stale = append(stale, file)
			}
		}
	}
	slices.Sort(stale)
	return stale, nil
}

// WriteGolden replaces the golden files of every overlay that rendered.
func (r *Render) WriteGolden() error {
	for _, o := range r.Overlays {
		if !o.Rendered() {
			return fmt.Errorf("%s does not render: run `harness check`", o.Name)
		}
		files, err := o.Golden()
		if err != nil {
			return err
		}
		dir := filepath.Join(r.Root, filepath.FromSlash(o.Dir), goldenFolder)
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		for name, data := range files {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}
