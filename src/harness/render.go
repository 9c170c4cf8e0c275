package harness

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/kustomize/kyaml/openapi"
)

// Options say what to render and with what.
type Options struct {
	Root     string   // the repository to judge
	Tools    string   // the repository whose build/bin and pinned definitions are used; empty means Root
	Overlays []string // names under environments/; none means all
	Plain    bool     // render with Helm 4 alone: enough to compare renders, not to judge one
}

// A Variant is one of the ways in which the same overlay gets rendered in practice. All must give the same bytes.
type Variant string

const (
	Helm4      Variant = "Helm 4"
	Helm4Again Variant = "Helm 4 a second time"
	Helm3      Variant = "Helm 3"
	ArgoCD     Variant = "Argo CD's flags"
	NewChart   Variant = "a new chart version" // the same, but for the version in Chart.yaml
)

// argoFlags is what Argo CD adds from the cluster it syncs to. The values are deliberately not those of any overlay: an
// overlay that states its own does not notice.
var argoFlags = types.HelmConfig{
	KubeVersion: "1.31.4",
	ApiVersions: []string{"v1", "v1/Pod", "apps/v1", "apps/v1/Deployment", "example.com/v1", "example.com/v1/Cluster"},
}

// Render is a repository and everything that comes out of it.
type Render struct {
	*Source
	Overlays  []*Overlay
	Argo      *Overlay      // argocd/: the AppProjects and Applications, judged by rules of their own
	Rendering time.Duration // wall time of all renders
	Judging   time.Duration // wall time of decoding, and of the API server's answers
}

// Overlay is one network's render.
type Overlay struct {
	Name          string // such as "mainnet"
	Dir           string // such as "environments/mainnet"
	File          string // its kustomization
	Kustomization types.Kustomization
	Objects       []Object // of the Helm 4 render
	Provided      []Provided
	Reads         []string           // files that the render depends on, relative to the repository
	Output        map[Variant][]byte // the YAML, as kustomize build prints it
	Errors        map[Variant]error

	workloads []Workload
	mu        sync.Mutex // while rendering
}

// Load reads the repository, renders its overlays in every variant, in parallel, and decodes the objects.
//
// An overlay that does not render is not an error here but a finding later. Nothing is rendered at all while the tree holds
// a symbolic link or names something outside of itself: rendering must stay safe on a stranger's change.
func Load(ctx context.Context, opts Options) (*Render, error) {
	root, err := filepath.Abs(opts.Root)
	if err == nil {
		root, err = filepath.EvalSymlinks(root) // kustomize names the files that it reads so
	}
	if err != nil {
		return nil, err
	}
	src, err := readSource(root)
	if err != nil {
		return nil, err
	}
	names := opts.Overlays
	if len(names) == 0 {
		names = src.OverlayNames()
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("there is no overlay under %s", filepath.Join(root, "environments"))
	}
	tools := cmp.Or(opts.Tools, root)
	programs := map[Variant]string{Helm4: "helm4"}
	if !opts.Plain {
		programs = map[Variant]string{Helm4: "helm4", Helm4Again: "helm4", Helm3: "helm3", ArgoCD: "helm4", NewChart: "helm4"}
	}
	helm := map[Variant]string{}
	for variant, name := range programs {
		if helm[variant], err = tool(tools, name); err != nil {
			return nil, err
		}
	}

	r := &Render{Source: src, Argo: newOverlay(src, "argocd", "argocd")}
	for _, name := range names {
		if !slices.Contains(src.OverlayNames(), name) {
			return nil, fmt.Errorf("there is no overlay %q; there are %s", name, strings.Join(src.OverlayNames(), ", "))
		}
		r.Overlays = append(r.Overlays, newOverlay(src, name, "environments/"+name))
	}
	if len(unsafe(src)) > 0 {
		return r, nil
	}

	var server *apiServer
	if !opts.Plain {
		if server, err = startAPIServer(ctx, tools); err != nil {
			return nil, err
		}
	}
	start := time.Now()
	if err := r.render(ctx, helm, opts.Plain); err != nil {
		return nil, err
	}
	r.Rendering = time.Since(start)

	start = time.Now()
	for _, o := range r.all() {
		o.Objects = Decode(o.Output[Helm4])
		if server != nil {
			if err := server.judge(o.Objects); err != nil {
				return nil, err
			}
		}
		o.workloads = workloads(o.Objects)
		o.Provided = readProvided(src, o)
	}
	r.Judging = time.Since(start)
	return r, nil
}

// tool returns the path of a program that make has built.
func tool(tools, name string) (string, error) {
	path, err := filepath.Abs(filepath.Join(tools, "build", "bin", name))
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("looking for %s: %w; run `make tools` first", name, err)
	}
	return path, nil
}

func newOverlay(src *Source, name, dir string) *Overlay {
	o := &Overlay{Name: name, Dir: dir, Output: map[Variant][]byte{}, Errors: map[Variant]error{}}
	o.Kustomization, o.File = src.kustomization(dir)
	return o
}

// render fills in every overlay's output: first as it is meant, then the other variants of what rendered and inflates a
// chart. Without a chart they have nothing to differ in.
func (r *Render) render(ctx context.Context, helm map[Variant]string, plain bool) error {
	prepare()
	meant, others := errgroup.Group{}, errgroup.Group{}
	meant.SetLimit(runtime.GOMAXPROCS(0))
	others.SetLimit(runtime.GOMAXPROCS(0))
	for _, o := range r.all() {
		meant.Go(func() error { return r.renderOne(ctx, o, Helm4, r.Root, helm[Helm4]) })
	}
	if err := meant.Wait(); err != nil || plain {
		return err
	}
	bumped, err := os.MkdirTemp("", "harness-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(bumped)
	if err := copyWithNewCharts(bumped, r.Source); err != nil {
		return fmt.Errorf("copying the charts: %w", err)
	}
	for _, o := range r.all() {
		if !o.Rendered() || len(o.inflated(r.Source)) == 0 {
			continue
		}
		for variant, command := range helm {
			root := r.Root
			switch variant {
			case Helm4:
				continue
			case NewChart:
				root = bumped
			}
			others.Go(func() error { return r.renderOne(ctx, o, variant, root, command) })
		}
	}
	return others.Wait()
}

// renderOne renders one variant of one overlay. That it does not render is noted, not returned.
func (r *Render) renderOne(ctx context.Context, o *Overlay, variant Variant, root, command string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	config := types.HelmConfig{Enabled: true, Command: command}
	if variant == ArgoCD {
		// Kustomize decodes the overlay's own list into the backing array of this one.
		config.KubeVersion, config.ApiVersions = argoFlags.KubeVersion, slices.Clone(argoFlags.ApiVersions)
	}
	disk := &recorder{FileSystem: filesys.MakeFsOnDisk()}
	output, err := build(disk, filepath.Join(root, o.Dir), config)

	o.mu.Lock()
	defer o.mu.Unlock()
	if err != nil {
		o.Errors[variant] = err
		return nil
	}
	o.Output[variant] = output
	if variant == Helm4 {
		o.Reads = r.dependencies(o, disk.read)
	}
	return nil
}

// all is every overlay and argocd/.
func (r *Render) all() []*Overlay { return append(slices.Clone(r.Overlays), r.Argo) }

// build is `kustomize build --enable-helm`, with kustomize's default load restrictions.
func build(disk filesys.FileSystem, dir string, helm types.HelmConfig) ([]byte, error) {
	options := krusty.MakeDefaultOptions()
	options.PluginConfig.HelmConfig = helm
	resources, err := krusty.MakeKustomizer(options).Run(disk, dir)
	if err != nil {
		return nil, err
	}
	return resources.AsYaml()
}

// chartVersion is the line of Chart.yaml that a release changes.
var chartVersion = regexp.MustCompile(`(?m)^version:.*$`)

// copyWithNewCharts copies what is deployed and gives every chart another version.
func copyWithNewCharts(to string, src *Source) error {
	for _, file := range src.Files {
		data, err := src.Read(file)
		if err != nil {
			return err
		}
		if filepath.Base(file) == "Chart.yaml" {
			data = chartVersion.ReplaceAll(data, []byte("version: 99.99.99"))
		}
		path := filepath.Join(to, filepath.FromSlash(file))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// Rendered reports whether there is something to judge.
func (o *Overlay) Rendered() bool { return o.Output[Helm4] != nil }

// prepare makes the process fit to render in parallel and independent of the user's own Helm.
//
// Kustomize builds its table of built-in kinds lazily and not safely for concurrent use (kustomize issue 4824); once built
// it is only read. It also hands the whole environment to Helm, whose plugins and settings come from HELM_*.
var prepare = sync.OnceFunc(func() {
	openapi.Schema()
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "HELM_") {
			os.Unsetenv(name)
		}
	}
})

// recorder notes which files kustomize reads.
type recorder struct {
	filesys.FileSystem
	read []string
}

func (r *recorder) ReadFile(path string) ([]byte, error) {
	data, err := r.FileSystem.ReadFile(path)
	if err == nil {
		r.read = append(r.read, path)
	}
	return data, err
}

// dependencies adds what Helm reads to what kustomize has read.
func (r *Render) dependencies(o *Overlay, read []string) []string {
	for _, path := range read {
		if rel, err := filepath.Rel(r.Root, path); err == nil {
			o.Reads = append(o.Reads, filepath.ToSlash(rel))
		}
	}
	files := o.Reads
	for _, inflated := range o.inflated(r.Source) {
		files = append(files, r.Under(inflated.Dir)...)
	}
	slices.Sort(files)
	return slices.Compact(files)
}

// An Inflation is one helmCharts entry, with the folder that states it and the folder of its chart.
type Inflation struct {
	types.HelmChart
	From, Dir string
}

// inflated returns the charts that a rendered overlay and what it includes inflate.
func (o *Overlay) inflated(src *Source) []Inflation {
	var all []Inflation
	for _, file := range o.Reads {
		k := src.Kustomizations[file]
		home := "charts"
		if k.HelmGlobals != nil && k.HelmGlobals.ChartHome != "" {
			home = k.HelmGlobals.ChartHome
		}
		for _, chart := range k.HelmCharts {
			from := path.Dir(file)
			all = append(all, Inflation{chart, from, path.Join(from, home, chart.Name)})
		}
	}
	return all
}
