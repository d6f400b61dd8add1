package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// tracking is a minimal client of MLflow's REST API. It knows nothing of
// credentials.
type tracking struct {
	http *http.Client
	url  string
}

// refusal is an answer other than 200.
type refusal struct {
	status    int
	challenge string
	text      string
}

func (r *refusal) Error() string {
	return fmt.Sprintf("the tracking server answered %d: %s", r.status, r.text)
}

// call posts in to an endpoint such as "runs/create" and decodes the answer.
func (t *tracking) call(ctx context.Context, endpoint string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url+"/api/2.0/mlflow/"+endpoint, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := t.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return &refusal{resp.StatusCode, resp.Header.Get("WWW-Authenticate"), strings.TrimSpace(string(answer))}
	}
	return json.Unmarshal(answer, out)
}

// get fetches a page and throws it away.
func (t *tracking) get(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := t.http.Do(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return err
}
