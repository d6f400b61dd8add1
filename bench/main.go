// Command bench measures secretsauth beside what people would use instead, and
// prints one table. "make bench" runs it and writes docs/performance.md.
//
// Everything is on loopback, bounded in time, and stopped at the end. A time is
// only ever told as a ratio of two that were taken in turns.
package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"time"
)

// measure is one concept of the table.
type measure struct {
	name string
	run  func(effort) ([]row, error)
}

var measures = []measure{
	{"request", addedCost},
	{"floor", floor},
	{"hosts", hosts},
	{"loopback", loopback},
	{"cold", cold},
	{"stragglers", stragglers},
	{"rotation", rotation},
	{"memory", memory},
	{"start", start},
	{"search", search},
}

// effort is how long the measures may take.
type effort struct {
	batches int           // of each contender
	batch   time.Duration // about how long one takes
	rounds  int           // of what takes longer than a batch
	soak    time.Duration // each of them, where it can be chosen
}

var (
	full  = effort{batches: 200, batch: 10 * time.Millisecond, rounds: 10, soak: 4 * time.Second}
	quick = effort{batches: 20, batch: 5 * time.Millisecond, rounds: 2, soak: 2 * time.Second}
)

// cache is where the programs are that make e2e and install.sh have fetched.
var cache = flag.String("cache", "../.cache", "the folder of what was fetched")

func main() {
	short := flag.Bool("short", false, "measure for less than a minute, which is less exact")
	only := flag.String("only", "", "a regular expression for the measures to make")
	write := flag.String("write", "", "the file to write the report to")
	flag.Parse()
	if err := run(*short, *only, *write); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(short bool, only, write string) error {
	wanted, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	e := full
	if short {
		e = quick
	}
	var all table
	for _, m := range measures {
		if !wanted.MatchString(m.name) {
			continue
		}
		began := time.Now()
		rows, err := m.run(e)
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		fmt.Fprintf(os.Stderr, "%-10s %.0f s\n", m.name, time.Since(began).Seconds())
		all = append(all, rows...)
	}
	fmt.Print(all.plain())
	if write == "" {
		return nil
	}
	return report(write, all)
}
