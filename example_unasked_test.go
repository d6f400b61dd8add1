package secretsauth_test

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"

	"github.com/mlflow-secrets-auth/secretsauth"
)

// wordsOnly cuts from the lines of the standard logger what they quote.
type wordsOnly struct{ to io.Writer }

func (w wordsOnly) Write(line []byte) (int, error) {
	if words, _, quotes := bytes.Cut(line, []byte(` "`)); quotes {
		_, err := fmt.Fprintf(w.to, "%s …\n", words)
		return len(line), err
	}
	return w.to.Write(line)
}

// A program whose connections are kept has the standard logger say that a server has
// sent something unasked, but not what.
func Example_serversThatSayTooMuch() {
	log.SetOutput(wordsOnly{os.Stderr}) // after slog.SetDefault, which would set another
}

// A program that can do with a connection for each request hears nothing that comes
// after an answer.
func ExampleConfig_aConnectionForEachRequest() {
	provider := secretsauth.Static(secretsauth.Secret{})

	base := http.DefaultTransport.(*http.Transport).Clone()
	base.DisableKeepAlives = true
	transport, err := secretsauth.NewTransport(provider, secretsauth.Config{
		AllowedHosts: []string{"mlflow.company.com"},
		Base:         base,
	})
	if err != nil {
		log.Fatal(err)
	}
	client := &http.Client{Transport: transport}
	_ = client
}
