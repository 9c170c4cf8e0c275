package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"
)

// objectKinds are the kinds of Kubernetes objects that a backup can hold, as the API's paths name them.
var objectKinds = []string{"configmaps", "secrets"}

// kinds are all kinds of state that a backup can hold.
var kinds = append([]string{kindRedis}, objectKinds...)

func isObjectKind(kind string) bool { return slices.Contains(objectKinds, kind) }

// ClusterConfig says where the release's objects are.
type ClusterConfig struct {
	// Objects of the release: configmaps/NAME and secrets/NAME. A run saves each of them; a restore refuses others, and with
	// none given refuses no object.
	Objects []string `env:"BACKUP_OBJECTS"`
	// Namespace of the release. Objects are restored into it whatever the name of the one that they were saved from.
	Namespace string `env:"BACKUP_NAMESPACE"`
	// Kubeconfig is the path of a kubeconfig; empty means the API server of the pod's own cluster.
	Kubeconfig string `env:"KUBECONFIG"`
}

func (c ClusterConfig) validate() []error {
	var errs []error
	for _, object := range c.Objects {
		if _, _, err := parseObject(object); err != nil {
			errs = append(errs, fmt.Errorf("BACKUP_OBJECTS: %w", err))
		}
	}
	return errs
}

// Access is one thing that a command asks the API server to let it do. Without a name it is done to objects that do not
// exist yet, which RBAC cannot name.
type Access struct{ Verb, Resource, Name string }

// Access returns all that `backup run` does to objects: what its Role must grant, and no more.
func (c RunConfig) Access() []Access { return c.ClusterConfig.access("get") }

// Access returns all that `backup restore` does to objects: what its Role must grant, and no more.
func (c RestoreConfig) Access() []Access {
	verbs := []string{"get"}
	if c.Replace {
		verbs = append(verbs, "update")
	}
	all := c.ClusterConfig.access(verbs...)
	for _, kind := range objectKinds {
		if slices.Contains(c.Kinds, kind) {
			all = append(all, Access{"create", kind, ""})
		}
	}
	return slices.DeleteFunc(all, func(a Access) bool { return !slices.Contains(c.Kinds, a.Resource) })
}

func (c ClusterConfig) access(verbs ...string) []Access {
	var all []Access
	for _, object := range c.Objects {
		kind, name, err := parseObject(object)
		if err != nil {
			continue // which validate has said
		}
		for _, verb := range verbs {
			all = append(all, Access{verb, kind, name})
		}
	}
	return all
}

// apiTimeout bounds each call to the API server.
const apiTimeout = 30 * time.Second

// open does not call the API server yet.
func (c ClusterConfig) open() (*cluster, error) {
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("finding the API server (in a pod its token must be mounted, elsewhere KUBECONFIG be set): %w", err)
	}
	config.Timeout = apiTimeout
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connecting to the API server: %w", err)
	}
	return &cluster{client, c.Namespace, c.Objects}, nil
}

// cluster reads and writes objects of one namespace. They are kept as the API server writes them, whatever their fields are.
type cluster struct {
	client    dynamic.Interface
	namespace string
	objects   []string
}

func (c *cluster) of(kind string) dynamic.ResourceInterface {
	return c.client.Resource(schema.GroupVersionResource{Version: "v1", Resource: kind}).Namespace(c.namespace)
}

// parseObject reads kind/name.
func parseObject(text string) (kind, name string, err error) {
	kind, name, _ = strings.Cut(text, "/")
	if !isObjectKind(kind) || name == "" || strings.Contains(name, "/") {
		return "", "", fmt.Errorf("%q is neither configmaps/NAME nor secrets/NAME", text)
	}
	return kind, name, nil
}

// export gives add every object of the release. Those that cannot be read are returned, each with its reason: each is known
// to belong to the release, so that none is missing by right. Without an API server all are unread, and the rest of the
// backup goes on. An error is add's.
func (c *cluster) export(ctx context.Context, add func(kind string, value any) error) (unread []error, err error) {
	for i, text := range c.objects {
		kind, name, err := parseObject(text)
		if err != nil {
			return unread, err
		}
		object, err := c.of(kind).Get(ctx, name, metav1.GetOptions{})
		switch {
		case isStatus(err):
			unread = append(unread, fmt.Errorf("%s: %w", text, err))
		case err != nil:
			for _, text := range c.objects[i:] {
				unread = append(unread, fmt.Errorf("%s: the API server cannot be asked: %w", text, err))
			}
			return unread, nil
		default:
			if err := add(kind, portable(object)); err != nil {
				return unread, err
			}
		}
	}
	return unread, nil
}

// portable leaves out what the API server makes anew for every object. Owners go too: those of another namespace, or of
// before, do not exist, and the garbage collector would take the object along.
func portable(object *unstructured.Unstructured) map[string]any {
	kept := object.DeepCopy().Object
	for _, field := range []string{"namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "selfLink", "managedFields", "ownerReferences"} {
		unstructured.RemoveNestedField(kept, "metadata", field)
	}
	return kept
}

// restore makes the object of one record. It is the API server's own refusal (isStatus), errNotOurs, or errDiffers if an
// object of the name exists with other content and replace is false.
func (c *cluster) restore(ctx context.Context, kind string, value json.RawMessage, replace bool) error {
	var object unstructured.Unstructured
	if err := json.Unmarshal(value, &object.Object); err != nil {
		return fmt.Errorf("a record of %s cannot be read: %w", kind, err)
	}
	name := object.GetName()
	if len(c.objects) > 0 && !slices.Contains(c.objects, kind+"/"+name) {
		return wrapObject(kind, name, errNotOurs)
	}
	_, err := c.of(kind).Create(ctx, &object, metav1.CreateOptions{})
	if !apierrors.IsAlreadyExists(err) {
		return wrapObject(kind, name, err)
	}
	existing, err := c.of(kind).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return wrapObject(kind, name, err)
	}
	if equality.Semantic.DeepEqual(portable(existing), object.Object) {
		return nil
	}
	if !replace {
		return wrapObject(kind, name, errDiffers)
	}
	object.SetResourceVersion(existing.GetResourceVersion())
	object.SetOwnerReferences(existing.GetOwnerReferences())
	_, err = c.of(kind).Update(ctx, &object, metav1.UpdateOptions{})
	return wrapObject(kind, name, err)
}

var (
	errDiffers = errors.New("it exists with other content and was left as it is, BACKUP_RESTORE_REPLACE=true replaces")
	errNotOurs = errors.New("it is not in BACKUP_OBJECTS: add it there, and to the Role, if it still belongs to the release")
)

func wrapObject(kind, name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s/%s: %w", kind, name, err)
}

// isStatus tells what the API server answered from an API server that cannot be reached.
func isStatus(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status)
}
