package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/hashicorp/vault/api"
)

// request is one call of Vault's API, below /v1/.
type request struct {
	path  string
	query url.Values
	body  []byte // of a login; nil: GET
	token *lease // nil: none is sent
	root  bool   // without the namespace, where Vault wants that
}

// answer is what Vault said, whatever the status.
type answer struct {
	status int
	header http.Header
	body   []byte
	texts  string // its errors and warnings: looked at, never shown
}

// try sends r once.
func (p *Provider) try(ctx context.Context, r request) (answer, error) {
	namespace := p.target.namespace
	if r.root {
		namespace = ""
	}
	// A copy with its own headers and token. Not Clone: that one forgets
	// DisableRedirects.
	client := p.client.WithNamespace(namespace)
	if r.token != nil {
		client.SetToken(r.token.reveal())
	}
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()

	var resp *api.Response
	var err error
	if r.body == nil {
		resp, err = client.Logical().ReadRawWithDataWithContext(ctx, r.path, r.query)
	} else {
		resp, err = client.Logical().WriteRawWithContext(ctx, r.path, r.body)
	}
	if resp == nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	if _, status := errors.AsType[*api.ResponseError](err); err != nil && !status {
		return answer{}, err
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	if resp.StatusCode == http.StatusOK && !json.Valid(body) {
		return answer{}, errNotVault
	}
	return answer{resp.StatusCode, resp.Header, body, texts(body)}, nil
}

// errNotVault is a 200 that is no JSON: cut short without a sign, or the page of
// something in front of Vault.
var errNotVault = errors.New("the answer is not Vault's JSON")

// texts joins Vault's own errors and warnings, or takes the beginning of an
// answer that is not Vault's.
func texts(body []byte) string {
	var v struct {
		Errors   []string `json:"errors"`
		Warnings []string `json:"warnings"`
	}
	if json.Unmarshal(body, &v) != nil {
		return string(body[:min(len(body), 256)])
	}
	return strings.Join(append(v.Errors, v.Warnings...), "\n")
}

// says reports whether Vault's errors or warnings contain text.
func (a answer) says(text string) bool {
	return strings.Contains(strings.ToLower(a.texts), strings.ToLower(text))
}

// page reports whether something in front of Vault answered with a web page.
func (a answer) page() bool { return strings.HasPrefix(strings.TrimSpace(a.texts), "<") }

// statusText is "403 Forbidden": the number with Go's words, not the server's.
func (a answer) statusText() string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", a.status, http.StatusText(a.status)))
}
