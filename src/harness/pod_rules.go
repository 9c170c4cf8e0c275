package harness

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// podRules judge what runs.
var podRules = []Rule{{
	Name:   "pinned-images",
	Reason: "a moving tag makes two pods of one Deployment run different code, and a rollback runs whatever the tag means today",
	Fix:    "state a version tag, or better a digest, in the overlay's images",
	Check:  inEachOverlay(checkImages),
}, {
	Name:   "unique-env",
	Reason: "of two variables with one name the last wins, and server-side apply refuses the object",
	Fix:    "set the variable once",
	Check:  inEachOverlay(checkUniqueEnv),
}, {
	Name:   "pod-security",
	Reason: "a namespace that enforces Pod Security restricted refuses the pod",
	Fix:    "set what the message names in the pod's or the container's securityContext",
	Check:  inEachOverlay(checkPodSecurity),
}}

var digest = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

func checkImages(o *Overlay) []Finding {
	var all []Finding
	for _, w := range o.workloads {
		for path, c := range w.Containers() {
			name, sum, pinned := strings.Cut(c.Image, "@")
			tag := ""
			if i := strings.LastIndex(name, ":"); i > strings.LastIndex(name, "/") {
				tag = name[i+1:]
			}
			problem := ""
			switch {
			case c.Image == "":
				problem = "is empty"
			case pinned && !digest.MatchString(sum):
				problem = fmt.Sprintf("%q is no sha256 digest", sum)
			case tag == "latest":
				problem = fmt.Sprintf("%q uses the tag latest", c.Image)
			case tag == "" && !pinned:
				problem = fmt.Sprintf("%q has neither tag nor digest, which means latest", c.Image)
			default:
				continue
			}
			all = append(all, Finding{Object: w.ID(), Field: path + ".image", Problem: problem})
		}
	}
	return all
}

func checkUniqueEnv(o *Overlay) []Finding {
	var all []Finding
	for _, w := range o.workloads {
		for path, c := range w.Containers() {
			var seen []string
			for _, env := range c.Env {
				if slices.Contains(seen, env.Name) {
					all = append(all, Finding{Object: w.ID(), Field: path + ".env[" + env.Name + "]", Problem: "is set twice"})
				}
				seen = append(seen, env.Name)
			}
		}
	}
	return all
}

// security is the API server's own admission check.
var security = func() policy.Evaluator {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		panic(err) // the checks are compiled in
	}
	return evaluator
}()

func checkPodSecurity(o *Overlay) []Finding {
	restricted := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	var all []Finding
	for _, w := range o.workloads {
		for _, result := range security.EvaluatePod(restricted, &w.Pods.ObjectMeta, &w.Pods.Spec) {
			if !result.Allowed {
				all = append(all, Finding{Object: w.ID(), Field: w.Field("securityContext"), Problem: fmt.Sprintf("%s (%s)", result.ForbiddenReason, result.ForbiddenDetail)})
			}
		}
	}
	return all
}
