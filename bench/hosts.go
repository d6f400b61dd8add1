package main

import (
	"fmt"
	"net/url"

	"github.com/mlflow-secrets-auth/secretsauth"
)

// patterns is an allow-list of n patterns, the last of which is last.
func patterns(n int, last string) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("mlflow-%d.*.company.com", i)
	}
	list[n-1] = last
	return list
}

// hosts is what an allow-list costs, by its length and by what it says.
func hosts(e effort) (rows []row, err error) {
	const (
		allowed, other = "mlflow.company.com", "other.company.com"
		otherRuns      = "https://" + other + "/api/2.0/mlflow/runs/get"
	)
	transport := func(patterns ...string) *secretsauth.Transport {
		return newOurs(newStore("token", 0), bare{}, patterns...)
	}
	one, ten, thousand := transport(allowed), transport(patterns(10, allowed)...), transport(patterns(1000, allowed)...)
	all := []contender{
		sender("the base", bare{}, runsGet),
		sender("hit, 1", one, runsGet), sender("hit, 10", ten, runsGet), sender("hit, 1000", thousand, runsGet),
		sender("miss, 1", one, otherRuns), sender("miss, 10", ten, otherRuns), sender("miss, 1000", thousand, otherRuns),
		sender("two hosts", transport(allowed, other), runsGet, otherRuns),
		firstSight(1000, other, allowed),
	}
	t := e.raceOnOneCore(all...)
	added := func(i int) float64 { return t[i] - t[0] }
	const hit, miss, two, unseen = 1, 4, 7, 8

	for i, n := range []string{"10", "1,000"} {
		rows = append(rows,
			ratio(n+" patterns, host allowed: time", added(hit+1+i), added(hit), "1 pattern").atMost(1.5),
			ratio(n+" patterns, host not allowed: time", added(miss+1+i), added(miss), "1 pattern").atMost(1.5))
	}
	rows = append(rows,
		ratio("host not allowed: time", added(miss), added(hit), "host allowed").atMost(1),
		exact("host not allowed: allocations", all[miss].allocations(), "", 0),
		ratio("two allowed hosts in turn: time", added(two), added(hit), "one host"),
		// Each turn of the measurement is a request to one of the two.
		exact("two allowed hosts in turn: allocations", all[two].allocations(), "", 3),
		ratio("a host not seen before, 1,000 patterns: time to decide", t[unseen], added(hit), "a request to a known one"))
	return rows, nil
}

// firstSight decides on a host without remembering it.
func firstSight(n int, host, allowed string) contender {
	m, err := secretsauth.CompileHosts(patterns(n, allowed))
	if err != nil {
		panic(err)
	}
	u := &url.URL{Scheme: "https", Host: host}
	return contender{"not seen before", func(n int) {
		for range n {
			m.Match(u)
		}
	}}
}
