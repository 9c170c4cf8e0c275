//go:build e2e

package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// What is stored of a Secret is not the Secret.
func TestSecretsAreEncryptedAtRest(t *testing.T) {
	c := connect(t)
	if c.Etcd == "" {
		t.Skip("set E2E_ETCD to the address of the cluster's etcd; a managed control plane has none to ask")
	}
	namespace := c.namespace(t, "etcd")
	const value = "a-key-in-plain-text"
	c.secret(t, namespace, "jupiter", map[string]string{"jupiter-api-key": value})
	read := func(kind string) []byte {
		query := must(json.Marshal(map[string][]byte{"key": []byte("/registry/" + kind + "/" + namespace + "/jupiter")}))(t)
		response := must(http.Post(c.Etcd+"/v3/kv/range", "application/json", bytes.NewReader(query)))(t)
		defer response.Body.Close()
		var found struct{ Kvs []struct{ Value []byte } }
		check(t, json.NewDecoder(response.Body).Decode(&found))
		if len(found.Kvs) != 1 {
			t.Fatalf("etcd has %d values for %s", len(found.Kvs), query)
		}
		return found.Kvs[0].Value
	}
	stored := read("secrets")
	if bytes.Contains(stored, []byte(value)) || bytes.Contains(stored, []byte(base64.StdEncoding.EncodeToString([]byte(value)))) {
		t.Errorf("etcd holds the key as it is: %q", stored)
	}
	if !bytes.HasPrefix(stored, []byte("k8s:enc:")) {
		t.Errorf("etcd holds %.20q…", stored)
	}
	scheme, _, _ := bytes.Cut(bytes.TrimPrefix(stored, []byte("k8s:enc:")), []byte(":v1:"))
	figure(t, "a Secret in etcd", "%d bytes, encrypted by %s, the key not among them", len(stored), scheme)
}

// Every ServiceAccount of the tier, backup included, asked about every verb of every resource: none may do what the namespace's
// default account may not. The backup's Role lets it read the objects that it names, and no other.
func TestServiceAccountsCanDoNothingElse(t *testing.T) {
	c := connect(t)
	namespace := c.namespace(t, "access")
	accounts := []string{"default"}
	var named []authorizationv1.ResourceAttributes
	for _, object := range c.helm(t, namespace, chart, c.values(t, "--set", "backup.enabled=true,backup.ageRecipients[0]="+must(age.GenerateX25519Identity())(t).Recipient().String()+",backup.s3.bucket=none")...) {
		switch object.GetKind() {
		case "ServiceAccount":
			accounts = append(accounts, object.GetName())
			if mounts, found, _ := unstructured.NestedBool(object.Object, "automountServiceAccountToken"); mounts || !found {
				t.Errorf("%s mounts its token", object.GetName())
			}
		case "Role":
			var role rbacv1.Role
			check(t, runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &role))
			for _, rule := range role.Rules {
				for _, verb := range rule.Verbs {
					for _, name := range rule.ResourceNames {
						named = append(named, authorizationv1.ResourceAttributes{Namespace: namespace, Verb: verb, Version: "v1", Resource: rule.Resources[0], Name: name})
					}
				}
			}
		case "RoleBinding":
		default:
			continue
		}
		c.apply(t, namespace, object)
	}
	may := func(account string, question authorizationv1.ResourceAttributes) bool {
		review, err := c.AuthorizationV1().SubjectAccessReviews().Create(t.Context(), &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User:               "system:serviceaccount:" + namespace + ":" + account,
			Groups:             []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"},
			ResourceAttributes: &question,
		}}, metav1.CreateOptions{})
		if err != nil {
			t.Errorf("%s %s: %v", question.Verb, question.Resource, err)
			return false
		}
		return review.Status.Allowed
	}

	_, lists, err := c.Discovery().ServerGroupsAndResources()
	if err != nil {
		t.Fatal(err)
	}
	var questions []authorizationv1.ResourceAttributes
	for _, list := range lists {
		group, version, found := strings.Cut(list.GroupVersion, "/")
		if !found {
			group, version = "", group
		}
		for _, resource := range list.APIResources {
			name, sub, _ := strings.Cut(resource.Name, "/")
			for _, verb := range append([]string{"escalate", "bind", "impersonate"}, resource.Verbs...) {
				attributes := authorizationv1.ResourceAttributes{Verb: verb, Group: group, Version: version, Resource: name, Subresource: sub}
				if resource.Namespaced {
					attributes.Namespace = namespace
				}
				questions = append(questions, attributes)
			}
		}
	}
	began := time.Now()
	var wg sync.WaitGroup
	for part := range slices.Chunk(questions, len(questions)/4+1) {
		wg.Go(func() {
			for _, question := range part {
				everybody := may("default", question)
				for _, account := range accounts[1:] {
					if may(account, question) && !everybody {
						t.Errorf("%s may %s %s in %q", account, question.Verb, question.Resource, question.Namespace)
					}
				}
			}
		})
	}
	wg.Wait()
	figure(t, "access reviews", "%d verbs of resources by %d accounts, none granted that the default account lacks, in %s", len(questions), len(accounts)-1, seconds(began))

	backup := release + "-backup"
	for _, question := range named {
		if !may(backup, question) {
			t.Errorf("the backup may not %s %s %s, which it saves", question.Verb, question.Resource, question.Name)
		}
		question.Name = "identity"
		if may(backup, question) {
			t.Errorf("the backup may %s %s %s", question.Verb, question.Resource, question.Name)
		}
	}
	if len(named) == 0 {
		t.Error("the backup's Role names nothing")
	}
}
