package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/collector/registry"
)

func newSourceAdd(a *app) *cobra.Command {
	var src collector.Source
	var certificate collector.CertificateIdentity
	var oidc collector.OIDCIdentity
	var webhook collector.WebhookIdentity
	c := takes(&cobra.Command{
		Use:   "add ID",
		Short: "Add a source; prints its fresh key, once",
		Long: `Adds a source to the sources file. Without another way to be recognised it gets a bearer key, printed on stdout. The
file holds the key's hash only: a key that is lost is replaced by "custody source rotate". A running collector reads the file
again within 2 s.

A source may instead show a client certificate (--spiffe-id or --dns; the collector then needs collector.tls), a JWT of an
OpenID issuer (--oidc-issuer, --oidc-audience, --oidc-subject), or a webhook signature (--webhook-secret-file).`,
		Example: `  custody source add payments-mcp --tenant acme --server payments-mcp
  custody source add acme-opa --tenant acme --type opa
  custody source add deploy-mcp --tenant acme --spiffe-id spiffe://acme.example/deploy-mcp`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			src.ID = args[0]
			if src.Type != "" && !slices.Contains(types(), src.Type) {
				return fmt.Errorf("--type %q: want one of %s", src.Type, strings.Join(types(), ", "))
			}
			if certificate != (collector.CertificateIdentity{}) {
				src.Certificate = &certificate
			}
			if oidc.Issuer+oidc.Audience+oidc.Subject != "" {
				src.OIDC = &oidc
			}
			if webhook.SecretFile != "" {
				src.Webhook = &webhook
			}
			return addSource(cmd, a.config.Collector.Sources, &src)
		},
	}, "collector.sources")
	f := c.Flags()
	f.StringVar(&src.Tenant, "tenant", "", "tenant that its events belong to")
	f.StringVar(&src.Type, "type", "", strings.Join(types(), ", ")+"; empty for all")
	f.BoolVar(&src.DeepScan, "deep-scan", false, "search its events for secrets by gitleaks' rules too, at many times the cost")
	f.StringVar(&src.Issuer, "issuer", "", "issuer of the users of a Keycloak realm, whose events do not name it: https://sso.example/realms/REALM")
	f.StringSliceVar(&src.Servers, "server", nil, "id of an MCP server that it may report for; none: any")
	f.IntVar(&src.EventsPerSecond, "events-per-second", 0, "its quota; ten seconds of it may come at once; 0: none")
	f.StringVar(&certificate.SPIFFEID, "spiffe-id", "", "SPIFFE ID of its client certificate")
	f.StringVar(&certificate.DNS, "dns", "", "DNS name of its client certificate")
	f.StringVar(&oidc.Issuer, "oidc-issuer", "", "issuer of its JWTs")
	f.StringVar(&oidc.Audience, "oidc-audience", "", "audience of its JWTs: this collector")
	f.StringVar(&oidc.Subject, "oidc-subject", "", "subject of its JWTs")
	f.StringSliceVar(&oidc.Algorithms, "oidc-algorithm", nil, "algorithms of their signatures; none: RS256, ES256")
	f.StringVar(&webhook.SecretFile, "webhook-secret-file", "", "file with its secret in the form of Standard Webhooks: whsec_ and base64")
	_ = c.MarkFlagRequired("tenant") // the flag exists
	return c
}

func addSource(cmd *cobra.Command, file string, src *collector.Source) error {
	key := ""
	if src.Certificate == nil && src.OIDC == nil && src.Webhook == nil {
		key, src.KeySHA256 = registry.NewKey()
	}
	if err := registry.AddSource(file, *src); err != nil {
		return err
	}
	if key == "" {
		fmt.Fprintf(cmd.ErrOrStderr(), "source %s of tenant %s is in %s\n", src.ID, src.Tenant, file)
		return nil
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "source %s of tenant %s is in %s; its key, shown only now:\n", src.ID, src.Tenant, file)
	_, err := fmt.Fprintln(cmd.OutOrStdout(), key)
	return err
}
