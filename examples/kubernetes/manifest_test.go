// Package kubernetes has manifests to copy from; here it is seen to that the
// command and the library take what they say.
package kubernetes

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth/internal/cli"
	"github.com/mlflow-secrets-auth/secretsauth/internal/settings"
)

// command runs mlflow-secrets-auth.
func command(t *testing.T, args ...string) (exit int, stdout string) {
	t.Helper()
	var out, log bytes.Buffer
	exit = cli.Main(context.Background(), args, &out, &log)
	return exit, out.String()
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The two ways in which the manifests write a variable.
var (
	entry = regexp.MustCompile(`(?m)^  ([A-Z_0-9]+): "([^"]*)"$`)
	item  = regexp.MustCompile(`\{ name: ([A-Z_0-9]+), value: "([^"]*)" \}`)
)

// The environment of each manifest is a configuration without a flaw, that logs in
// by Kubernetes.
func TestTheEnvironmentIsComplete(t *testing.T) {
	for _, file := range []string{"sidecar.yaml", "library.yaml"} {
		t.Run(file, func(t *testing.T) {
			text := read(t, file)
			pairs := append(entry.FindAllStringSubmatch(text, -1), item.FindAllStringSubmatch(text, -1)...)
			if len(pairs) < 7 {
				t.Fatalf("found %d variables", len(pairs))
			}
			for _, v := range settings.All {
				t.Setenv(v.Name, "") // counts as unset
			}
			t.Setenv("HOME", t.TempDir())
			for _, pair := range pairs {
				if _, known := settings.Find(pair[1]); !known && pair[1] != "MLFLOW_TRACKING_URI" {
					t.Errorf("nobody reads %s", pair[1])
				}
				t.Setenv(pair[1], pair[2])
			}
			exit, out := command(t, "info", "--json")
			var info struct {
				OK                 bool
				Problems, Warnings []any
			}
			if err := json.Unmarshal([]byte(out), &info); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if exit != 0 || !info.OK || len(info.Problems)+len(info.Warnings) > 0 || !strings.Contains(out, "vault:https://vault.company.com:secret/mlflow/auth") {
				t.Errorf("exit %d\n%s", exit, out)
			}
			if exit, out = command(t, "hosts", "https://mlflow.company.com"); exit != 0 {
				t.Errorf("the tracking server gets no credential: %s", out)
			}
		})
	}
}

// The proxy has the flags that it is given, and the token's file is where it is
// mounted.
func TestTheSidecarFitsTogether(t *testing.T) {
	t.Parallel()
	text := read(t, "sidecar.yaml")
	args := regexp.MustCompile(`args: (\[.*\])`).FindStringSubmatch(text)
	if args == nil {
		t.Fatal("the proxy has no arguments")
	}
	var list []string
	if err := json.Unmarshal([]byte(args[1]), &list); err != nil {
		t.Fatal(err)
	}
	exit, help := command(t, list[0], "--help")
	if exit != 0 {
		t.Fatalf("%s --help: exit %d", list[0], exit)
	}
	for _, flag := range list {
		if strings.HasPrefix(flag, "--") && !strings.Contains(help, flag+" ") {
			t.Errorf("there is no flag %s", flag)
		}
	}
	listen := list[slices.Index(list, "--listen")+1]
	for _, want := range []string{
		"value: http://" + listen,
		"mountPath: /var/run/secrets/vault,", // of the file "token", see MLFLOW_VAULT_K8S_TOKEN_PATH
		"path: token, audience: vault,",
		"audience=vault token_policies=mlflow-reader",
		"bound_service_account_names=mlflow-training",
		`command: ["/usr/local/bin/mlflow-secrets-auth", "cache", "status"]`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("it lacks %s", want)
		}
	}
}

// What a YAML reader would stumble over, as far as it can be seen without one.
func TestNoTabsAndEvenIndents(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"sidecar.yaml", "library.yaml"} {
		for n, line := range strings.Split(read(t, file), "\n") {
			body := strings.TrimLeft(line, " ")
			if strings.Contains(line, "\t") || (len(line)-len(body))%2 != 0 {
				t.Errorf("%s:%d: %q", file, n+1, line)
			}
		}
	}
}
