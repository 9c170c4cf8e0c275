package harness

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/yaml"
)

// deployed are the folders that reach a cluster; nothing outside of them may be read while rendering.
var deployed = []string{"argocd", "charts", "components", "environments"}

// Source is what a repository says before anything is rendered. All paths are relative to Root, with slashes.
type Source struct {
	Root           string
	Files          []string                       // every regular file under the deployed folders
	Links          []string                       // every symbolic link there
	Kustomizations map[string]types.Kustomization // by file path
	Charts         []Chart
	Versions       Versions

	faults []Finding // files that do not parse
}

// Chart is a chart folder, the top one or one vendored inside another.
type Chart struct {
	Dir          string
	Name         string       `json:"name"`
	Version      string       `json:"version"`
	Dependencies []Dependency `json:"dependencies"`
}

// Dependency is an entry of Chart.yaml's dependencies.
type Dependency struct {
	Name       string `json:"name"`
	Version    string `json:"version"`
	Repository string `json:"repository"`
	Alias      string `json:"alias"`
}

// Versions is versions.yaml, the one place that states the version of what the repository runs on and beside: "kubernetes"
// such as 1.37.2, which decides the schemas and every overlay's kubeVersion, and those of other people's images.
type Versions map[string]string

// readSource reads the repository; files that do not parse become findings, so that one of them does not hide the rest.
func readSource(root string) (*Source, error) {
	s := &Source{Root: root, Kustomizations: map[string]types.Kustomization{}}
	for _, dir := range deployed {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			switch rel = filepath.ToSlash(rel); {
			case entry.Type()&fs.ModeSymlink != 0:
				s.Links = append(s.Links, rel)
			case entry.Type().IsRegular():
				s.Files = append(s.Files, rel)
			}
			return nil
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("reading %s: %w", dir, err)
		}
	}
	for _, file := range s.Files {
		switch base := filepath.Base(file); {
		case slices.Contains(konfig.RecognizedKustomizationFileNames(), base):
			data, err := s.Read(file)
			if err != nil {
				return nil, err
			}
			var k types.Kustomization
			_ = k.Unmarshal(data) // kustomize says what is wrong with its files
			s.Kustomizations[file] = k
		case base == "Chart.yaml":
			chart := Chart{Dir: filepath.ToSlash(filepath.Dir(file))}
			s.parse(file, func(data []byte) error { return yaml.Unmarshal(data, &chart) })
			s.Charts = append(s.Charts, chart)
		}
	}
	s.parse("versions.yaml", func(data []byte) error { return yaml.Unmarshal(data, &s.Versions) })
	return s, nil
}

// parse reads one file and notes what is wrong with it.
func (s *Source) parse(file string, into func([]byte) error) {
	data, err := s.Read(file)
	if err == nil {
		err = into(data)
	}
	if err != nil {
		s.faults = append(s.faults, Finding{Object: file, Problem: err.Error()})
	}
}

// Read returns a file of the repository.
func (s *Source) Read(file string) ([]byte, error) {
	return os.ReadFile(filepath.Join(s.Root, filepath.FromSlash(file)))
}

// Under returns the files in a folder of the repository, at any depth.
func (s *Source) Under(dir string) []string {
	var files []string
	for _, file := range s.Files {
		if strings.HasPrefix(file, dir+"/") {
			files = append(files, file)
		}
	}
	return files
}

// OverlayNames returns the folders of environments/ that hold a kustomization.
func (s *Source) OverlayNames() []string {
	var names []string
	for file := range s.Kustomizations {
		if dir, name := filepath.Split(filepath.Dir(file)); dir == "environments/" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// kustomization returns the kustomization in a folder, and its file or "".
func (s *Source) kustomization(dir string) (types.Kustomization, string) {
	for _, name := range konfig.RecognizedKustomizationFileNames() {
		file := dir + "/" + name
		if k, ok := s.Kustomizations[file]; ok {
			return k, file
		}
	}
	return types.Kustomization{}, ""
}
