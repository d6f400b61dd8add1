package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// environ is what programs are started with: nothing of the caller's but PATH.
func environ(home string, variables ...string) []string {
	return append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "NO_PROXY=*"}, variables...)
}

// fetched is the path of a program in a virtual environment, or "" if no script
// has fetched it.
func fetched(venv, program string) string {
	path, err := filepath.Abs(filepath.Join(venv, "bin", program))
	if err != nil {
		return ""
	}
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

// plugin is the environment that install.sh makes, and servers that of make e2e.
func plugin() string { return filepath.Join(*cache, "bench", "plugin") }

func servers() string {
	if dir := os.Getenv("SECRETSAUTH_E2E_CACHE"); dir != "" {
		return filepath.Join(dir, "mlflow")
	}
	return filepath.Join(*cache, "e2e", "mlflow")
}

// build compiles the command at source into dir, by the go.mod it lies under.
func build(dir, source string) (path string, err error) {
	path = filepath.Join(dir, filepath.Base(source))
	out, err := exec.Command("go", "build", "-C", source, "-o", path, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build %s: %w\n%s", source, err, out)
	}
	return path, nil
}

// execute runs a program to its end, and returns its output and how long it took.
func execute(env []string, path string, args ...string) (out []byte, took time.Duration, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	var stderr bytes.Buffer
	cmd.Env, cmd.Stderr = env, &stderr
	start := time.Now()
	out, err = cmd.Output()
	took = time.Since(start)
	if err != nil {
		err = fmt.Errorf("%s: %w\n%s%s", filepath.Base(path), err, out, stderr.Bytes())
	}
	return out, took, err
}

// serve starts a server and waits until url answers. What it returns stops it,
// and all that it has started; an interrupt does so too, and what needs the server
// then fails.
func serve(cmd *exec.Cmd, log, url string) (stop func(), err error) {
	file, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = file, file
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(exited)
	}()
	stop = sync.OnceFunc(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		select {
		case <-exited:
		case <-time.After(15 * time.Second):
		}
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-exited
		_ = file.Close()
	})
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	go func() {
		defer signal.Stop(interrupted) // the next interrupt is the program's own again
		select {
		case <-interrupted:
			stop()
		case <-exited:
		}
	}()
	client := &http.Client{Timeout: 5 * time.Second}
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); {
		if resp, err := client.Get(url); err == nil {
			if _ = resp.Body.Close(); resp.StatusCode == http.StatusOK {
				return stop, nil
			}
		}
		select {
		case <-exited:
			deadline = time.Time{}
		case <-time.After(100 * time.Millisecond):
		}
	}
	stop()
	text, _ := os.ReadFile(log)
	return nil, fmt.Errorf("%s is not ready; the end of its log:\n%s", filepath.Base(cmd.Path), text[max(0, len(text)-2000):])
}
