package harness

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"filippo.io/age"
	corev1 "k8s.io/api/core/v1"

	"jupiter-dex-integration/src/backup"
	"jupiter-dex-integration/src/gateway"
	"jupiter-dex-integration/src/optimizer"
	"jupiter-dex-integration/src/oracle"
	"jupiter-dex-integration/src/platform"
)

// configRules ask our own binaries what they think of the environment that the overlay gives them.
var configRules = []Rule{{
	Name:   "known-env",
	Reason: "the binary ignores a variable that it does not know, and runs with the default of the one that was meant",
	Fix:    "use a name from the binary's --print-config",
	Check:  inEachOverlay(checkKnownEnv),
}, {
	Name:   "accepted-config",
	Reason: "the binary refuses to start with this environment, so the rollout never finishes",
	Fix:    "correct the value where the overlay sets it",
	Check:  inEachOverlay(checkAcceptedConfig),
}, {
	Name:   "secret-files",
	Reason: "the binary reads the secret from a file, and nothing puts a file there",
	Fix:    "mount the volume that holds the key, or correct the path",
	Check:  inEachOverlay(checkSecretFiles),
}, {
	Name:   "right-network",
	Reason: "a service that quotes or sends on another network than its users believe loses their money",
	Fix:    "use this network's own address or name",
	Check:  checkNetworkNames,
}}

// programs are the binaries of this repository by the last part of their image's name, each with its commands' check of
// an environment. A container that gives no command gets the first.
var programs = map[string][]command{
	"api-gateway":     {takes[gateway.Config]("serve")},
	"price-oracle":    {takes[oracle.Config]("serve"), takes[oracle.UpdateConfig]("update")},
	"route-optimizer": {takes[optimizer.Config]("serve"), takes[optimizer.DiscoverConfig]("discover"), takes[optimizer.ReplayConfig]("replay")},
	"backup":          {takes[backup.RunConfig]("run"), takes[backup.RestoreConfig]("restore"), takes[backup.VerifyConfig]("verify")},
}

type command struct {
	name  string
	names []string // the variables that it reads
	// configure returns the effective value of each, or what the binary says of those that it is given.
	configure func(environ []string) (map[string]string, error)
	// access returns what it then asks the API server for.
	access func(environ []string) ([]backup.Access, error)
}

func takes[T any](name string) command {
	var zero T
	configure := func(environ []string) (map[string]string, error) {
		cfg, err := platform.Load[T](environ)
		if err != nil {
			return nil, err
		}
		var lines strings.Builder
		if err := platform.Print(&lines, cfg); err != nil {
			return nil, err
		}
		effective := map[string]string{}
		for line := range strings.Lines(lines.String()) {
			name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
			effective[name] = value
		}
		return effective, nil
	}
	return command{name, platform.Names(zero), configure, func(environ []string) ([]backup.Access, error) {
		cfg, err := platform.Load[T](environ)
		return accessOf(cfg), err
	}}
}

// everywhere are the variables that each of our binaries reads beside its own: platform's and the Go runtime's.
var everywhere = []string{"LOG_LEVEL", "GOMAXPROCS", "GOMEMLIMIT", "GOGC", "GODEBUG", "GOTRACEBACK", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR"}

// commands returns what the program in a container can be asked to do, or nothing when it is not ours.
func commands(c corev1.Container) []command {
	name, _ := imageName(c.Image)
	return programs[name]
}

func checkKnownEnv(o *Overlay) []Finding {
	var all []Finding
	for _, w := range o.workloads {
		for at, c := range w.Containers() {
			list := commands(c)
			if list == nil {
				continue
			}
			known := slices.Clone(everywhere)
			for _, command := range list {
				known = append(known, command.names...)
			}
			env, _ := environment(o, c)
			for _, name := range slices.Sorted(maps.Keys(env)) {
				if !slices.Contains(known, name) && !slices.Contains(known, strings.TrimSuffix(name, "_FILE")) {
					all = append(all, Finding{Object: w.ID(), Field: at + ".env[" + name + "]", Problem: "the binary reads no such variable" + suggestion(name, known)})
				}
			}
		}
	}
	return all
}

func checkAcceptedConfig(o *Overlay) []Finding {
	var all []Finding
	for _, w := range o.workloads {
		for at, c := range w.Containers() {
			chosen, found := chosenCommand(c)
			if !found {
				if commands(c) != nil {
					all = append(all, Finding{Object: w.ID(), Field: at + ".args[0]", Problem: fmt.Sprintf("the binary has no command %q", c.Args[0])})
				}
				continue
			}
			environ, complete := environ(o, c, chosen)
			if !complete {
				continue
			}
			if _, err := chosen.configure(environ); err != nil {
				for line := range strings.Lines(err.Error()) {
					all = append(all, Finding{Object: w.ID(), Field: at + ".env", Problem: strings.TrimSpace(line)})
				}
			}
		}
	}
	return all
}

// checkNetworkNames looks for the name of one overlay's network in another's environment.
func checkNetworkNames(r *Render) []Finding {
	return inEachOverlay(func(o *Overlay) []Finding {
		var all []Finding
		for _, w := range o.workloads {
			for at, c := range w.Containers() {
				env, _ := environment(o, c)
				for _, name := range slices.Sorted(maps.Keys(env)) {
					words := strings.FieldsFunc(env[name], func(c rune) bool { return !unicode.IsLetter(c) })
					for _, other := range r.OverlayNames() {
						if other != o.Name && slices.Contains(words, other) {
							all = append(all, Finding{Object: w.ID(), Field: at + ".env[" + name + "]", Problem: fmt.Sprintf("%q speaks of %s", env[name], other)})
						}
					}
				}
			}
		}
		return all
	})(r)
}

// chosenCommand returns the command that a container runs, if it is one of ours.
func chosenCommand(c corev1.Container) (command, bool) {
	list := commands(c)
	if len(list) == 0 {
		return command{}, false
	}
	if len(c.Args) == 0 {
		return list[0], true
	}
	i := slices.IndexFunc(list, func(command command) bool { return command.name == c.Args[0] })
	if i < 0 {
		return command{}, false
	}
	return list[i], true
}

// environ returns a container's variables as a process sees them, secrets in place of the files that hold them.
func environ(o *Overlay, c corev1.Container, chosen command) (lines []string, complete bool) {
	env, complete := environment(o, c)
	for name, value := range env {
		if base, isFile := strings.CutSuffix(name, "_FILE"); isFile && slices.Contains(chosen.names, base) {
			name, value = base, placeholder // the file exists in the cluster only
		}
		if value == placeholder {
			value = cmp.Or(wellFormed[name], placeholder)
		}
		lines = append(lines, name+"="+value)
	}
	return lines, complete
}

// effective returns the configuration that one of our containers ends up with, or nothing when accepted-config objects.
func effective(o *Overlay, c corev1.Container) map[string]string {
	chosen, found := chosenCommand(c)
	if !found {
		return nil
	}
	lines, complete := environ(o, c, chosen)
	if !complete {
		return nil
	}
	values, err := chosen.configure(lines)
	if err != nil {
		return nil
	}
	return values
}

// placeholder stands for what only the cluster knows.
const placeholder = "given-by-the-cluster"

// wellFormed stands in its place for secrets whose form the binary checks.
var wellFormed = map[string]string{
	"BACKUP_AGE_IDENTITY": anyIdentity(),
	"BACKUP_SIGNING_KEY":  base64.StdEncoding.EncodeToString(make([]byte, 32)),
	"CLIENT_KEYS":         "client " + strings.Repeat("0", 64),
}

func anyIdentity() string {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		panic(err) // there is no randomness
	}
	return identity.String()
}

// environment returns the variables of a container as the kubelet would set them. It is complete unless a ConfigMap or a
// key that some come from is missing, which is the references rule's finding.
func environment(o *Overlay, c corev1.Container) (env map[string]string, complete bool) {
	sources := map[string]map[string]string{}
	for id, keys := range contents(o) {
		sources[id] = map[string]string{}
		for _, key := range keys {
			sources[id][key] = placeholder
		}
	}
	for object, cm := range objects[*corev1.ConfigMap](o) {
		sources[object.ID()] = cm.Data
	}
	env, complete = map[string]string{}, true
	for _, from := range c.EnvFrom {
		id := ""
		switch {
		case from.ConfigMapRef != nil:
			id = "ConfigMap/" + from.ConfigMapRef.Name
		case from.SecretRef != nil:
			id = "Secret/" + from.SecretRef.Name
		}
		if sources[id] == nil {
			complete = false
		}
		for key, value := range sources[id] {
			env[from.Prefix+key] = value
		}
	}
	for _, v := range c.Env {
		switch {
		case v.ValueFrom == nil:
			env[v.Name] = v.Value
		case v.ValueFrom.ConfigMapKeyRef != nil:
			value, found := sources["ConfigMap/"+v.ValueFrom.ConfigMapKeyRef.Name][v.ValueFrom.ConfigMapKeyRef.Key]
			if !found {
				complete = false
				continue
			}
			env[v.Name] = value
		default:
			env[v.Name] = placeholder
		}
	}
	return env, complete
}

// checkSecretFiles follows each NAME_FILE to the volume that must hold it.
func checkSecretFiles(o *Overlay) []Finding {
	var all []Finding
	contents := contents(o)
	for _, w := range o.workloads {
		for at, c := range w.Containers() {
			env, _ := environment(o, c)
			for _, name := range slices.Sorted(maps.Keys(env)) {
				if !strings.HasSuffix(name, "_FILE") || commands(c) == nil {
					continue
				}
				if problem := missingFile(w, c, env[name], contents); problem != "" {
					all = append(all, Finding{Object: w.ID(), Field: at + ".env[" + name + "]", Problem: problem})
				}
			}
		}
	}
	return all
}

// missingFile says why a container will not find a file, or nothing.
func missingFile(w Workload, c corev1.Container, file string, contents map[string][]string) string {
	for _, mount := range c.VolumeMounts {
		inside, below := strings.CutPrefix(file, strings.TrimSuffix(mount.MountPath, "/")+"/")
		if !below {
			continue
		}
		if mount.SubPath != "" {
			return ""
		}
		for _, volume := range w.Pods.Spec.Volumes {
			if volume.Name != mount.Name {
				continue
			}
			files, known := volumeFiles(volume, contents)
			if known && !slices.Contains(files, inside) {
				return fmt.Sprintf("%s is not in the volume %q, which holds %s", file, volume.Name, strings.Join(files, ", "))
			}
			return ""
		}
	}
	return fmt.Sprintf("%s is in no volume that the container mounts", file)
}

// volumeFiles returns the files in a volume, if the render decides them.
func volumeFiles(v corev1.Volume, contents map[string][]string) (files []string, known bool) {
	add := func(id string, items []corev1.KeyToPath) {
		if len(items) == 0 {
			files = append(files, contents[id]...)
		}
		for _, item := range items {
			files = append(files, item.Path)
		}
	}
	switch {
	case v.Secret != nil:
		add("Secret/"+v.Secret.SecretName, v.Secret.Items)
	case v.ConfigMap != nil:
		add("ConfigMap/"+v.ConfigMap.Name, v.ConfigMap.Items)
	case v.Projected != nil:
		for _, source := range v.Projected.Sources {
			switch {
			case source.Secret != nil:
				add("Secret/"+source.Secret.Name, source.Secret.Items)
			case source.ConfigMap != nil:
				add("ConfigMap/"+source.ConfigMap.Name, source.ConfigMap.Items)
			default:
				return nil, false
			}
		}
	default:
		return nil, false
	}
	return files, true
}
