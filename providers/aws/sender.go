package aws

import (
	"context"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/mlflow-secrets-auth/secretsauth/internal/httpanswer"
	"github.com/mlflow-secrets-auth/secretsauth/internal/store"
)

// sender sends the requests of the clients that the SDK makes itself while it looks
// for credentials: those of STS and SSO, of the instance metadata service, and of the
// agents of containers and pods. They take an [aws.HTTPClient] of one type only, or
// none, but all of them take part in the middleware of the configuration.
type sender struct{ services, metadata *http.Client }

const senderID = "secretsauth.sender"

// The SDK gives up on the instance metadata service as early as that: most machines
// have none.
const (
	metadataDial   = 250 * time.Millisecond
	metadataAnswer = 500 * time.Millisecond
)

// use takes the SDK's client, whose transport knows AWS_CA_BUNDLE.
func (s *sender) use(client aws.HTTPClient) {
	own, ok := client.(*awshttp.BuildableClient)
	if !ok {
		own = awshttp.NewBuildableClient()
	}
	follow := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if frozen, ok := own.Freeze().(*http.Client); ok {
		follow.CheckRedirect = frozen.CheckRedirect
	}
	through := func(t *http.Transport) *http.Client {
		client := follow
		client.Timeout, client.Transport = requestTimeout, httpanswer.Limited{Base: store.NewSingle(t)}
		return &client
	}
	near := own.WithDialerOptions(func(d *net.Dialer) { d.Timeout = metadataDial }).GetTransport()
	near.ResponseHeaderTimeout = metadataAnswer
	s.services, s.metadata = through(own.GetTransport()), through(near)
}

// join adds s to a client's middleware, as the last before its HTTP client.
func (s *sender) join(stack *middleware.Stack) error {
	return stack.Deserialize.Add(s, middleware.After)
}

// leave takes s from the middleware of clients that have an HTTP client of ours.
func leave(stack *middleware.Stack) error {
	_, err := stack.Deserialize.Remove(senderID)
	return err
}

// ID names s in the middleware.
func (*sender) ID() string { return senderID }

// HandleDeserialize sends the request in place of the client's own HTTP client.
func (s *sender) HandleDeserialize(ctx context.Context, in middleware.DeserializeInput, _ middleware.DeserializeHandler) (out middleware.DeserializeOutput, metadata middleware.Metadata, err error) {
	client := s.services
	if req, ok := in.Request.(*smithyhttp.Request); ok && strings.HasPrefix(req.URL.Path, "/latest/") {
		client = s.metadata
	}
	out.RawResponse, metadata, err = smithyhttp.NewClientHandlerWithOptions(client).Handle(ctx, in.Request)
	return out, metadata, err
}
