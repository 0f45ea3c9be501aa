package check

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	keda "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	network "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	strict "sigs.k8s.io/yaml"
)

// render is "helm template" with values in YAML.
func render(values string) (manifests, error) {
	c, err := loader.Load(filepath.Join(root, "deploy", "helm", "custody"))
	if err != nil {
		return nil, err
	}
	v, err := chartutil.ReadValues([]byte(values))
	if err != nil {
		return nil, err
	}
	capabilities := chartutil.DefaultCapabilities.Copy()
	all, err := chartutil.ToRenderValues(c, v, chartutil.ReleaseOptions{Name: "audit", Namespace: "custody", Revision: 1, IsInstall: true}, capabilities)
	if err != nil {
		return nil, err
	}
	files, err := engine.Engine{Strict: true}.Render(c, all)
	if err != nil {
		return nil, err
	}
	var out manifests
	for name, text := range files {
		if strings.HasSuffix(name, "NOTES.txt") {
			continue
		}
		if err := out.add(name, text); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// manifest is one object, in the type that Kubernetes has for it.
type manifest struct {
	file   string
	kind   string
	name   string
	object any
}

type manifests []manifest

func (m *manifests) add(file, text string) error {
	for r := yaml.NewYAMLReader(bufio.NewReader(strings.NewReader(text))); ; {
		doc, err := r.Read()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		var head struct {
			Kind     string
			Metadata struct{ Name string }
		}
		if err := strict.Unmarshal(doc, &head); err != nil {
			return fmt.Errorf("%s: %w\n%s", file, err, doc)
		}
		if head.Kind == "" {
			continue // a comment alone
		}
		object := objectOf(head.Kind)
		if object == nil {
			return fmt.Errorf("%s: no type for kind %q", file, head.Kind)
		}
		if err := strict.UnmarshalStrict(doc, object); err != nil {
			return fmt.Errorf("%s: %s %s: %w\n%s", file, head.Kind, head.Metadata.Name, err, doc)
		}
		*m = append(*m, manifest{file, head.Kind, head.Metadata.Name, object})
	}
}

// objectOf is where a strict decoder refuses every field that the kind has not.
func objectOf(kind string) any {
	switch kind {
	case "ConfigMap":
		return &core.ConfigMap{}
	case "Secret":
		return &core.Secret{}
	case "Service":
		return &core.Service{}
	case "Deployment":
		return &apps.Deployment{}
	case "StatefulSet":
		return &apps.StatefulSet{}
	case "Job":
		return &batch.Job{}
	case "HorizontalPodAutoscaler":
		return &autoscaling.HorizontalPodAutoscaler{}
	case "NetworkPolicy":
		return &network.NetworkPolicy{}
	case "PodDisruptionBudget":
		return &policy.PodDisruptionBudget{}
	case "ServiceMonitor":
		return &monitoring.ServiceMonitor{}
	case "ScaledObject":
		return &keda.ScaledObject{}
	case "TriggerAuthentication":
		return &keda.TriggerAuthentication{}
	}
	return nil
}

// values are an installation with the least that is required, and one with
// everything that can be switched on, with Strimzi's and the operator's names.
func values(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func rendered(t *testing.T, name string) manifests {
	t.Helper()
	m, err := render(values(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

var installations = []string{"least", "scram", "everything"}

// kinds is what there is of each kind.
func (m manifests) kinds() map[string]int {
	out := map[string]int{}
	for _, x := range m {
		out[x.kind]++
	}
	return out
}

// pods are the pod templates by the names of what makes them.
func (m manifests) pods() map[string]core.PodTemplateSpec {
	out := map[string]core.PodTemplateSpec{}
	for _, x := range m {
		switch o := x.object.(type) {
		case *apps.Deployment:
			out[x.name] = o.Spec.Template
		case *apps.StatefulSet:
			out[x.name] = o.Spec.Template
		case *batch.Job:
			out[x.name] = o.Spec.Template
		}
	}
	return out
}

func TestChart(t *testing.T) {
	least, everything := rendered(t, "least").kinds(), rendered(t, "everything").kinds()
	if least["Deployment"] != 4 || least["StatefulSet"] != 1 || least["Job"] != 1 || least["NetworkPolicy"] < 7 || least["PodDisruptionBudget"] != 5 {
		t.Errorf("least: %v", least)
	}
	for _, kind := range []string{"HorizontalPodAutoscaler", "ScaledObject", "TriggerAuthentication", "ServiceMonitor"} {
		if least[kind] != 0 || everything[kind] != 1 {
			t.Errorf("%s: %d by default, %d with everything", kind, least[kind], everything[kind])
		}
	}
	if everything["StatefulSet"] != 2 || everything["Deployment"] != 5 {
		t.Errorf("no witness, or nobody who deletes: %v", everything)
	}
	for _, name := range installations {
		t.Logf("%s: %v", name, rendered(t, name).kinds())
	}
}

// Every container, in every installation, has no more rights than it needs.
func TestRights(t *testing.T) {
	for _, name := range installations {
		for pod, template := range rendered(t, name).pods() {
			spec := template.Spec
			if spec.HostNetwork || spec.HostPID || spec.HostIPC || spec.AutomountServiceAccountToken == nil || *spec.AutomountServiceAccountToken {
				t.Errorf("%s/%s reaches the host, or the API server", name, pod)
			}
			s := spec.SecurityContext
			if s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.RunAsUser == nil || *s.RunAsUser == 0 || s.SeccompProfile == nil || s.SeccompProfile.Type != core.SeccompProfileTypeRuntimeDefault {
				t.Errorf("%s/%s: %+v", name, pod, s)
			}
			for _, c := range append(slices.Clone(spec.Containers), spec.InitContainers...) {
				s := c.SecurityContext
				if s == nil || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || s.Privileged != nil && *s.Privileged ||
					s.Capabilities == nil || !slices.Equal(s.Capabilities.Drop, []core.Capability{"ALL"}) || len(s.Capabilities.Add) > 0 {
					t.Errorf("%s/%s/%s: %+v", name, pod, c.Name, s)
				}
				if c.Resources.Limits.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero() {
					t.Errorf("%s/%s/%s has no limit: %+v", name, pod, c.Name, c.Resources)
				}
				if len(c.Ports) > 0 && (c.ReadinessProbe == nil || c.LivenessProbe == nil) {
					t.Errorf("%s/%s/%s is not probed", name, pod, c.Name)
				}
			}
			for _, v := range spec.Volumes {
				if v.HostPath != nil {
					t.Errorf("%s/%s mounts the host's %s", name, pod, v.HostPath.Path)
				}
			}
		}
	}
}

// What each container is told is read by the program itself: its arguments, and the
// configuration file of its ConfigMap, in which an unknown key is an error.
func TestCommands(t *testing.T) {
	for _, name := range installations {
		m := rendered(t, name)
		for pod, template := range m.pods() {
			for _, c := range template.Spec.Containers {
				accepts(t, c.Args)
				config := m.config(t, template, c)
				file := filepath.Join(t.TempDir(), "custody.yaml")
				if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
					t.Fatal(err)
				}
				cmd := exec.Command(custody(t), "schema", "roles", "--config", file) // the verb that reads it all and asks nobody
				cmd.Dir, cmd.Env = t.TempDir(), []string{}
				if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("CREATE ROLE")) {
					t.Errorf("%s/%s: %v: %.500s\n%s", name, pod, err, out, config)
				}
				for _, word := range strings.Fields(config) {
					if path := strings.Trim(word, `"`); strings.HasPrefix(path, "/") && !mounted(c, path) {
						t.Errorf("%s/%s is told of %s, where nothing is mounted", name, pod, path)
					}
				}
			}
		}
	}
}

func mounted(c core.Container, path string) bool {
	return slices.ContainsFunc(c.VolumeMounts, func(m core.VolumeMount) bool { return path == m.MountPath || strings.HasPrefix(path, m.MountPath+"/") })
}

// config is the file that --config names in a container.
func (m manifests) config(t *testing.T, template core.PodTemplateSpec, c core.Container) string {
	t.Helper()
	for _, v := range template.Spec.Volumes {
		if v.Name != "config" || !mounted(c, "/etc/custody/config/custody.yaml") {
			continue
		}
		for _, x := range m {
			if o, ok := x.object.(*core.ConfigMap); ok && x.name == v.ConfigMap.Name {
				return o.Data["custody.yaml"]
			}
		}
	}
	t.Errorf("no configuration of %v", c.Args)
	return ""
}

// Selectors find what they are for, mounts have volumes, and secrets are named,
// never written: not even a password that somebody puts into settings.
func TestReferences(t *testing.T) {
	for _, name := range installations {
		m := rendered(t, name)
		selects := func(selector map[string]string) (n int) {
			for _, p := range m.pods() {
				matches := true
				for k, v := range selector {
					matches = matches && p.Labels[k] == v
				}
				if matches {
					n++
				}
			}
			return n
		}
		for _, x := range m {
			switch o := x.object.(type) {
			case *core.Service:
				if selects(o.Spec.Selector) == 0 {
					t.Errorf("%s: service %s selects nothing", name, x.name)
				}
			case *policy.PodDisruptionBudget:
				if selects(o.Spec.Selector.MatchLabels) != 1 {
					t.Errorf("%s: budget %s selects %d", name, x.name, selects(o.Spec.Selector.MatchLabels))
				}
			case *core.ConfigMap:
				if text := fmt.Sprint(o.Data); strings.Contains(text, "PRIVATE") || strings.Contains(text, "password:") || strings.Contains(text, "whsec_") {
					t.Errorf("%s: a secret in %s: %s", name, x.name, text)
				}
			}
		}
		for pod, p := range m.pods() {
			for _, c := range p.Spec.Containers {
				for _, mount := range c.VolumeMounts {
					if mount.Name != "data" && !slices.ContainsFunc(p.Spec.Volumes, func(v core.Volume) bool { return v.Name == mount.Name }) {
						t.Errorf("%s/%s mounts %s, which is no volume", name, pod, mount.Name)
					}
				}
			}
		}
	}
}

// Who deletes connects as a user of its own, with the key and the folder of the
// processors, and nobody else connects as that user.
func TestRetainer(t *testing.T) {
	m, asked := rendered(t, "everything"), 0
	for pod, template := range m.pods() {
		c := template.Spec.Containers[0]
		config := m.config(t, template, c)
		if strings.Contains(config, "custody_retainer") != (pod == "audit-retain") {
			t.Errorf("%s: %s", pod, config)
		}
		if pod != "audit-retain" {
			continue
		}
		asked++
		for _, want := range []string{"key_file: /etc/custody/seal/seal.key", "dir: /mnt/checkpoints", "interval: 6h"} {
			if !strings.Contains(config, want) {
				t.Errorf("%s is not told %q:\n%s", pod, want, config)
			}
		}
		if !slices.ContainsFunc(c.VolumeMounts, func(v core.VolumeMount) bool { return v.MountPath == "/mnt/checkpoints" && !v.ReadOnly }) {
			t.Errorf("%s cannot write its records: %+v", pod, c.VolumeMounts)
		}
	}
	if asked != 1 {
		t.Errorf("%d pods delete", asked)
	}
}

// What is denied by default, and what the policies let through.
func TestNetworkPolicies(t *testing.T) {
	m := rendered(t, "least")
	denied := false
	for _, x := range m {
		p, ok := x.object.(*network.NetworkPolicy)
		if !ok {
			continue
		}
		if x.name == "audit-deny" {
			denied = len(p.Spec.PolicyTypes) == 2 && len(p.Spec.Ingress) == 0 && len(p.Spec.Egress) == 1 && len(p.Spec.Egress[0].Ports) == 2
		} else if len(p.Spec.PolicyTypes) != 1 || len(p.Spec.Ingress)+len(p.Spec.Egress) != 1 {
			t.Errorf("%s: %+v", x.name, p.Spec)
		}
	}
	if !denied {
		t.Error("nothing is denied by default")
	}
	off, err := render(values(t, "least") + "networkPolicy: {enabled: false}\n")
	if err != nil || off.kinds()["NetworkPolicy"] != 0 {
		t.Errorf("%v, %v", off.kinds(), err)
	}
}

// A mistake in the values is refused with its place, before anything is installed.
func TestBadValues(t *testing.T) {
	const least = "kafka: {brokers: ['k:9092']}\nclickhouse: {addresses: ['c:9000']}\n"
	for _, x := range []struct{ values, want string }{
		{"", "brokers"},
		{"kafka: {brokers: []}\nclickhouse: {addresses: ['c:9000']}", "brokers"},
		{"kafka: {brokers: [k]}\nclickhouse: {addresses: ['c:9000']}", "brokers"},
		{"kafka: {brokers: ['k:9092'], auth: kerberos}\nclickhouse: {addresses: ['c:9000']}", "auth"},
		{"kafka: {brokers: ['k:9092'], auth: tls}\nclickhouse: {addresses: ['c:9000']}", "tls"},
		{"kafka: {brokers: ['k:9093'], auth: scram}\nclickhouse: {addresses: ['c:9000']}", "kafka.users"},
		{least + "collect: {replicas: 0}", "replicas"},
		{least + "collect: {replica: 2}", "replica"},
		{least + "collect: {spool: {size: 2GB}}", "size"},
		{least + "process: {resources: {requests: {cpu: 1}, limits: null}}", "limits"},
		{least + "image: {digest: latest}", "digest"},
		{least + "witness: {enabled: true}", "witness.keySecret"},
		{least + "retain: {enabled: true}", "process.sealSecret"},
		{least + "serviceMonitor: {interval: often}", "interval"},
		{least + "clickhouse_password: secret", "clickhouse_password"},
	} {
		if _, err := render(x.values); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%q: %v, want %s", x.values, err, x.want)
		}
	}
}
