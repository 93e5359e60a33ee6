// The strict security context as most teams would write it: a controller-runtime admission handler that decodes a typed
// pod, asks its caches for the owners, fills what is missing and lets the library make the patch from both pods.
//
// It is what vmguard is measured against, and does less: it knows no API access, no resource's own securityContext (such
// pods it leaves alone) and no conflicts.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/manager/signals"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

const nobody int64 = 65534

// operatorContainers are the containers that the operator makes; all others are the user's.
var operatorContainers = []string{
	"vmagent", "vmsingle", "vmalert", "alertmanager", "vmauth", "vlogs", "vlsingle", "vlagent", "vtsingle", "vmanomaly",
	"vmstorage", "vmselect", "vminsert", "vlstorage", "vlselect", "vlinsert", "vtstorage", "vtselect", "vtinsert",
	"config-reloader", "config-init", "vmbackuper", "vmbackuper-restore",
}

// partOf names the field of a cluster's spec for the pods with an app.kubernetes.io/name.
var partOf = map[string]string{
	"vmstorage": "vmstorage", "vmselect": "vmselect", "vminsert": "vminsert",
	"vlstorage": "vlstorage", "vlselect": "vlselect", "vlinsert": "vlinsert",
	"vtstorage": "storage", "vtselect": "select", "vtinsert": "insert",
}

type key struct{ kind, namespace, name string }

type hardener struct {
	decoder admission.Decoder
	objects map[key]*unstructured.Unstructured
}

// Handle implements admission.Handler.
func (h *hardener) Handle(ctx context.Context, request admission.Request) admission.Response {
	pod := &corev1.Pod{}
	if err := h.decoder.Decode(request, pod); err != nil {
		return admission.Errored(http.StatusBadRequest, err)
	}
	logger := log.FromContext(ctx)
	resource, workload := h.resourceOf(pod, request.Namespace)
	if resource == nil {
		logger.Info("admission", "outcome", "unmanaged")
		return admission.Allowed("no pod of the operator")
	}
	if !strict(resource, pod.Labels["app.kubernetes.io/name"]) {
		logger.Info("admission", "outcome", "unchanged", "resource", resource.GetName())
		return admission.Allowed("not asked for")
	}
	daemonSet := workload == "DaemonSet"
	fillPod(pod, daemonSet)
	rootContainers := daemonSet && resource.GetKind() == "VLAgent"
	fillContainers(pod.Spec.InitContainers, rootContainers)
	fillContainers(pod.Spec.Containers, rootContainers)
	marshaled, err := json.Marshal(pod)
	if err != nil {
		return admission.Errored(http.StatusInternalServerError, err)
	}
	logger.Info("admission", "outcome", "patched", "resource", resource.GetName(), "kind", resource.GetKind())
	return admission.PatchResponseFromRaw(request.Object.Raw, marshaled)
}

// resourceOf follows the controllers of a pod to the operator's resource; also the kind of what runs the pod.
func (h *hardener) resourceOf(pod *corev1.Pod, namespace string) (*unstructured.Unstructured, string) {
	workload := ""
	owner := metav1.GetControllerOf(pod)
	for owner != nil {
		object := h.objects[key{owner.Kind, namespace, owner.Name}]
		if object == nil || object.GetUID() != owner.UID {
			return nil, ""
		}
		if object.GroupVersionKind().Group == "operator.victoriametrics.com" {
			return object, workload
		}
		workload = object.GetKind()
		owner = metav1.GetControllerOf(object)
	}
	return nil, ""
}

// strict says whether a resource's component is to be strict: by its own word, the cluster's, else yes. Children of
// another resource have a word that nobody said.
func strict(resource *unstructured.Unstructured, label string) bool {
	spec, _, _ := unstructured.NestedMap(resource.Object, "spec")
	part := spec
	if field, ok := partOf[label]; ok {
		part, _, _ = unstructured.NestedMap(spec, field)
	}
	if part["securityContext"] != nil {
		return false
	}
	if metav1.GetControllerOf(resource) != nil {
		return true
	}
	for _, where := range []map[string]any{part, spec} {
		if word, ok := where["useStrictSecurity"].(bool); ok {
			return word
		}
	}
	return true
}

func fillPod(pod *corev1.Pod, daemonSet bool) {
	if pod.Spec.SecurityContext == nil {
		pod.Spec.SecurityContext = &corev1.PodSecurityContext{}
	}
	context := pod.Spec.SecurityContext
	if !daemonSet {
		fill(&context.RunAsNonRoot, true)
		fill(&context.RunAsUser, nobody)
		fill(&context.RunAsGroup, nobody)
	}
	fill(&context.FSGroup, nobody)
	fill(&context.FSGroupChangePolicy, corev1.FSGroupChangeOnRootMismatch)
	fill(&context.SeccompProfile, corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault})
}

func fillContainers(containers []corev1.Container, root bool) {
	for i := range containers {
		if !slices.Contains(operatorContainers, containers[i].Name) {
			continue
		}
		if containers[i].SecurityContext == nil {
			containers[i].SecurityContext = &corev1.SecurityContext{}
		}
		context := containers[i].SecurityContext
		fill(&context.Privileged, false)
		fill(&context.AllowPrivilegeEscalation, false)
		fill(&context.ReadOnlyRootFilesystem, true)
		fill(&context.Capabilities, corev1.Capabilities{Drop: []corev1.Capability{"ALL"}})
		if !root {
			fill(&context.RunAsNonRoot, true)
			fill(&context.RunAsUser, nobody)
			fill(&context.RunAsGroup, nobody)
		}
	}
}

func fill[T any](field **T, value T) {
	if *field == nil {
		*field = ptr.To(value)
	}
}

func load(path string) (map[key]*unstructured.Unstructured, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	list := &unstructured.UnstructuredList{}
	if err := json.Unmarshal(text, list); err != nil {
		return nil, err
	}
	objects := make(map[key]*unstructured.Unstructured, len(list.Items))
	for i := range list.Items {
		object := &list.Items[i]
		objects[key{object.GetKind(), object.GetNamespace(), object.GetName()}] = object
	}
	return objects, nil
}

func run() error {
	objects := flag.String("objects", "", "file with a List of what the handler can look up")
	certificates := flag.String("cert-dir", "", "directory with tls.crt and tls.key")
	port := flag.Int("port", 9443, "port on 127.0.0.1")
	flag.Parse()
	log.SetLogger(zap.New())
	known, err := load(*objects)
	if err != nil {
		return err
	}
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		return err
	}
	server := webhook.NewServer(webhook.Options{Host: "127.0.0.1", Port: *port, CertDir: *certificates})
	server.Register("/mutate", &admission.Webhook{
		Handler: &hardener{decoder: admission.NewDecoder(scheme), objects: known},
	})
	go func() {
		for server.StartedChecker()(nil) != nil {
			time.Sleep(time.Millisecond)
		}
		fmt.Printf("serves https://localhost:%d\n", *port)
	}()
	return server.Start(signals.SetupSignalHandler())
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
