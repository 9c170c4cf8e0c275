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

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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

// Every ServiceAccount of the tier, asked about every verb of every resource: none may do anything but what its Roles say, which is
// nothing for those that have none, and what everybody may: ask about itself.
func TestServiceAccountsCanDoNothingElse(t *testing.T) {
	c := connect(t)
	namespace := c.devnet(t, "access")
	accounts := must(c.CoreV1().ServiceAccounts(namespace).List(t.Context(), metav1.ListOptions{}))(t)
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
				questions = append(questions, attributes)
				if resource.Namespaced {
					attributes.Namespace = namespace
					questions = append(questions, attributes)
				}
			}
		}
	}
	everybody := []string{"create selfsubjectaccessreviews", "create selfsubjectrulesreviews", "create selfsubjectreviews"}
	var mu sync.Mutex
	asked := 0
	for _, account := range accounts.Items {
		if !strings.HasPrefix(account.Name, release) {
			continue
		}
		if account.AutomountServiceAccountToken == nil || *account.AutomountServiceAccountToken {
			t.Errorf("%s mounts its token", account.Name)
		}
		var wg sync.WaitGroup
		for part := range slices.Chunk(questions, len(questions)/4+1) {
			wg.Go(func() {
				for _, question := range part {
					review, err := c.AuthorizationV1().SubjectAccessReviews().Create(t.Context(), &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
						User:               "system:serviceaccount:" + namespace + ":" + account.Name,
						Groups:             []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"},
						ResourceAttributes: &question,
					}}, metav1.CreateOptions{})
					mu.Lock()
					asked++
					switch what := question.Verb + " " + question.Resource; {
					case err != nil:
						t.Errorf("%s: %v", what, err)
					case review.Status.Allowed && !slices.Contains(everybody, what):
						t.Errorf("%s may %s in %q: %s", account.Name, what, question.Namespace, review.Status.Reason)
					}
					mu.Unlock()
				}
			})
		}
		wg.Wait()
	}
	if asked == 0 {
		t.Fatal("there is no ServiceAccount")
	}
	figure(t, "access reviews, all denied but what everybody may", "%d", asked)
}
