package harness

import (
	"strings"
	"testing"
	"time"

	"github.com/robfig/cron/v3"
	"sigs.k8s.io/yaml"
)

// TestMainnetSyncsByItselfWhilePeopleAreThere looks at dates as Argo CD does: a window is open for its duration after each time
// of its schedule.
func TestMainnetSyncsByItselfWhilePeopleAreThere(t *testing.T) {
	var project struct {
		Spec struct {
			SyncWindows []struct {
				Kind, Schedule, Duration, TimeZone string
				ManualSync                         bool
				Applications                       []string
			}
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, repository+"/argocd/projects/mainnet.yaml")), &project); err != nil {
		t.Fatal(err)
	}
	if len(project.Spec.SyncWindows) != 1 {
		t.Fatalf("windows: %+v", project.Spec.SyncWindows)
	}
	window := project.Spec.SyncWindows[0]
	if window.Kind != "allow" || window.TimeZone != "Etc/UTC" || !window.ManualSync || strings.Join(window.Applications, ",") != "jupiter-dex-mainnet" {
		t.Errorf("window %+v", window)
	}
	schedule, err := cron.ParseStandard(window.Schedule)
	if err != nil {
		t.Fatal(err)
	}
	duration, err := time.ParseDuration(window.Duration)
	if err != nil {
		t.Fatal(err)
	}
	for when, open := range map[string]bool{
		"2026-11-23T06:59:59Z": false, // a Monday
		"2026-11-23T07:00:00Z": true,
		"2026-11-26T14:59:59Z": true, // Thursday
		"2026-11-26T15:00:00Z": false,
		"2026-11-27T10:00:00Z": false, // Friday
		"2026-11-29T10:00:00Z": false, // Sunday
		"2026-12-02T12:00:00Z": true,
	} {
		now, err := time.Parse(time.RFC3339, when)
		if err != nil {
			t.Fatal(err)
		}
		if got := !schedule.Next(now.Add(-duration)).After(now); got != open {
			t.Errorf("%s (%s): open %t, want %t", when, now.Weekday(), got, open)
		}
	}
}
