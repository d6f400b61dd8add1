package aws_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/mlflow-secrets-auth/secretsauth/internal/devstack"
	"github.com/mlflow-secrets-auth/secretsauth/providers/aws"
)

func ExampleNew() {
	server, err := devstack.StartSecretsManager() // a stand-in
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	server.Put("mlflow/auth", `{"username": "alice", "password": "correct horse"}`)
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "example"} {
		os.Setenv(name, value) // or a profile, a role, an instance's identity
		defer os.Unsetenv(name)
	}

	store, err := aws.New(aws.Config{
		SecretName: "mlflow/auth", // or its ARN
		Region:     "eu-central-1",
		Endpoint:   server.URL(), // for the stand-in's sake
	})
	if err != nil {
		log.Fatal(err)
	}
	secret, err := store.Fetch(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	user, _, _ := secret.UserPassword()
	fmt.Println(store.Key(), user, secret)
	// Output: aws-secrets-manager:eu-central-1:mlflow/auth alice [REDACTED]
}
