//go:build e2e

package e2e

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The CronJob's backup, its namespace lost, verified and restored into a new one by the chart's Job: what was in ConfigMaps and
// Secrets is there again, and so are as many keys of Redis; the tier then starts from them.
func TestBackupSurvivesItsNamespace(t *testing.T) {
	t.Parallel() // mostly waits
	c := connect(t)
	store := c.namespace(t, "store")
	c.run(t, store, "s3", nil, "s3", "backups")

	identity := must(age.GenerateX25519Identity())(t)
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"--set", "backup.enabled=true,backup.ageRecipients[0]=" + identity.Recipient().String(),
		"--set", "backup.s3.bucket=backups,backup.s3.existingSecret=s3,backup.signing.existingSecret=signing,backup.s3.endpoint=http://s3." + store + ".svc:8080"}
	byHand := func(namespace string) { // what no chart can hold
		c.secret(t, namespace, "s3", map[string]string{"access-key": "access", "secret-key": "secret"})
		c.secret(t, namespace, "signing", map[string]string{"signing-key": base64.StdEncoding.EncodeToString(private.Seed())})
		c.secret(t, namespace, "identity", map[string]string{"age-identity": identity.String()})
	}

	var first string
	var saved map[string]map[string]string
	var contents map[string]kept
	t.Run("backup", func(t *testing.T) {
		first = c.replicated(t, "backup", args...)
		byHand(first)
		p := c.client(t, first)
		p.trades(t)
		cron := must(c.BatchV1().CronJobs(first).Get(t.Context(), release+"-backup", metav1.GetOptions{}))(t)
		began := time.Now()
		must(c.BatchV1().Jobs(first).Create(t.Context(), &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "backup-now"}, Spec: cron.Spec.JobTemplate.Spec}, metav1.CreateOptions{}))(t)
		contents = c.finished(t, first, "backup-now", "backup complete")
		figure(t, "backup by the CronJob's Job", "%s: %v", seconds(began), contents)
		saved = c.configuration(t, first)
	}) // and the namespace is gone, with all that was in it

	second := c.namespace(t, "restored")
	byHand(second)
	// Redis, but not the services that would fill it anew; and what the recovery Job reads its settings from.
	for _, object := range c.helm(t, second, chart, c.values(t, args...)...) {
		if strings.Contains(object.GetName(), "-redis") || object.GetKind() == "NetworkPolicy" || object.GetKind() == "ConfigMap" && object.GetName() == release+"-backup" {
			c.apply(t, second, object)
		}
	}
	c.settled(t, second)
	t.Run("verify", func(t *testing.T) {
		c.recover(t, second, "verify", args, public)
		if diff := cmp.Diff(contents, c.finished(t, second, release+"-recovery", "backup verified")); diff != "" {
			t.Errorf("what was saved and what is verified differ:\n%s", diff)
		}
		c.forget(t, second)
	})
	t.Run("restore", func(t *testing.T) {
		began := time.Now()
		c.recover(t, second, "restore", args, public)
		c.finished(t, second, release+"-recovery", "")
		figure(t, "restore into a new namespace", "%s", seconds(began))
		c.forget(t, second)

		restored := c.configuration(t, second)
		for name, data := range saved {
			if name == "secrets/jupiter" { // the values name it, so it is the release's
				if diff := cmp.Diff(data, restored[name]); diff != "" {
					t.Errorf("%s is another now", name)
				}
				continue
			}
			if got, found := restored[name]; !found {
				t.Errorf("%s is not there", name)
			} else if diff := cmp.Diff(data, got); diff != "" {
				t.Errorf("%s is another now:\n%s", name, diff)
			}
		}
		figure(t, "ConfigMaps and Secrets equal after the restore", "%d", len(saved))

		// A second backup tells what Redis holds now.
		for _, object := range c.helm(t, second, chart, c.values(t, args...)...) {
			if strings.HasSuffix(object.GetName(), "-backup") {
				c.apply(t, second, object)
			}
		}
		cron := must(c.BatchV1().CronJobs(second).Get(t.Context(), release+"-backup", metav1.GetOptions{}))(t)
		must(c.BatchV1().Jobs(second).Create(t.Context(), &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "backup-again"}, Spec: cron.Spec.JobTemplate.Spec}, metav1.CreateOptions{}))(t)
		again := c.finished(t, second, "backup-again", "backup complete")
		for kind, was := range contents {
			if again[kind].Records != was.Records {
				t.Errorf("%s: %d records were saved, %d are there now", kind, was.Records, again[kind].Records)
			}
		}
		figure(t, "Redis keys saved, and found after the restore", "%d, %d", contents["redis"].Records, again["redis"].Records)

		c.apply(t, second, c.simulator(t)...)
		c.apply(t, second, c.helm(t, second, chart, c.values(t, args...)...)...)
		c.settled(t, second)
		p := c.client(t, second)
		p.trades(t)
	})
}

// kept is what a backup says that it holds of one kind.
type kept struct {
	Records int
	Bytes   int64
	SHA256  string
}

// recover runs the chart's recovery Job.
func (c *cluster) recover(t *testing.T, namespace, command string, args []string, public ed25519.PublicKey) {
	t.Helper()
	args = append(args, "--set", "backup.recovery.command="+command+",backup.recovery.identitySecret=identity",
		"--set-string", "backup.recovery.verifyKey="+base64.StdEncoding.EncodeToString(public))
	c.apply(t, namespace, c.helm(t, namespace, chart, c.values(t, append(args, "--show-only", "templates/backup/recovery.yaml")...)...)...)
}

// forget removes the Job, so that there can be another.
func (c *cluster) forget(t *testing.T, namespace string) {
	t.Helper()
	background := metav1.DeletePropagationForeground
	check(t, c.BatchV1().Jobs(namespace).Delete(t.Context(), release+"-recovery", metav1.DeleteOptions{PropagationPolicy: &background}))
	eventually(t, time.Minute, "the Job's end", func(ctx context.Context) error {
		_, err := c.BatchV1().Jobs(namespace).Get(ctx, release+"-recovery", metav1.GetOptions{})
		if err == nil {
			return fmt.Errorf("it is there")
		}
		return ignoreNotFound(err)
	})
}

// finished waits for a Job to succeed, and returns the contents that it logs with a message.
func (c *cluster) finished(t *testing.T, namespace, job, message string) map[string]kept {
	t.Helper()
	logs := func(ctx context.Context) (all [][]byte) {
		pods, err := c.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: batchv1.JobNameLabel + "=" + job})
		if err != nil {
			return nil
		}
		for _, pod := range pods.Items {
			lines, _ := c.logs(ctx, namespace, pod.Name, "")
			all = append(all, lines...)
		}
		return all
	}
	eventually(t, 2*time.Minute, "job "+job, func(ctx context.Context) error {
		current, err := c.BatchV1().Jobs(namespace).Get(ctx, job, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if current.Status.Failed > 0 && current.Status.Active == 0 && current.Status.Succeeded == 0 {
			for _, line := range logs(ctx) {
				t.Logf("%s", line)
			}
			t.Fatalf("job %s failed: %v", job, current.Status.Conditions)
		}
		if current.Status.Succeeded == 0 {
			return fmt.Errorf("it is %+v", current.Status)
		}
		return nil
	})
	for _, line := range logs(t.Context()) {
		var entry struct {
			Msg      string
			Contents map[string]kept
		}
		if json.Unmarshal(line, &entry) == nil && message != "" && entry.Msg == message {
			return entry.Contents
		}
	}
	if message != "" {
		t.Fatalf("job %s did not say %q", job, message)
	}
	return nil
}

// configuration is the data of the release's ConfigMaps and Secrets, by kind and name.
func (c *cluster) configuration(t *testing.T, namespace string) map[string]map[string]string {
	t.Helper()
	found := map[string]map[string]string{}
	for _, object := range must(c.CoreV1().ConfigMaps(namespace).List(t.Context(), metav1.ListOptions{}))(t).Items {
		if strings.HasPrefix(object.Name, release) {
			found["configmaps/"+object.Name] = maps.Clone(object.Data)
		}
	}
	secret := must(c.CoreV1().Secrets(namespace).Get(t.Context(), "jupiter", metav1.GetOptions{}))(t)
	data := map[string]string{}
	for key, value := range secret.Data {
		data[key] = string(value)
	}
	found["secrets/jupiter"] = data
	return found
}
