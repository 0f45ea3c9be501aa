// Package check holds the files that put Custody into containers against the
// tools that read them: the Dockerfile against BuildKit's parser, compose.yaml
// against compose-go, the chart against Helm's library, and its manifests against
// the types of Kubernetes.
//
// It is a module of its own, as those tools need a hundred modules that Custody
// does not. It runs custody as a program, built as the Dockerfile builds it. It
// starts no container: that an image or a cluster works is not what it says.
package check
