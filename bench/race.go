package main

import (
	"math"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// contender is one of several ways to do the same thing.
type contender struct {
	name string
	do   func(n int) // does it n times
}

// race returns the nanoseconds that each contender takes to do its thing once.
// Contenders take turns, batch by batch, so that what else the machine does hits
// all of them, and of each the fastest batch counts: noise only ever adds.
func (e effort) race(all ...contender) []float64 { return e.raceBy(time.Now, all) }

// short makes more batches of e, and shorter ones: of these some go undisturbed on
// a busy machine, where both of two cores are needed at a time.
func (e effort) short() effort {
	e.batches, e.batch = 8*e.batches, e.batch/8
	return e
}

// raceOnOneCore is race with a single core, on which the garbage collector works
// as well. Time is the processor's: what it gives to other programs does not count.
func (e effort) raceOnOneCore(all ...contender) []float64 {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	return e.raceBy(processor, all)
}

type clock func() time.Time

// processor is a clock that goes while this program is at work.
func processor() time.Time {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Unix(0, u.Utime.Nano()+u.Stime.Nano())
}

func (e effort) raceBy(now clock, all []contender) []float64 {
	n := make([]int, len(all))
	fastest := make([]float64, len(all))
	for i, c := range all {
		n[i], fastest[i] = e.size(now, c), math.Inf(1)
	}
	for range e.batches {
		for i, c := range all {
			fastest[i] = min(fastest[i], float64(now.time(c, n[i]))/float64(n[i]))
		}
	}
	return fastest
}

// size is how often c does its thing in a batch.
func (e effort) size(now clock, c contender) int {
	for n := 1; ; n *= 2 {
		if took := now.time(c, n); took >= e.batch/2 {
			return max(1, int(float64(n)*float64(e.batch)/float64(took)))
		}
	}
}

func (now clock) time(c contender, n int) time.Duration {
	start := now()
	c.do(n)
	return now().Sub(start)
}

// allocations of doing it once: exact, unlike the time.
func (c contender) allocations() float64 {
	return testing.AllocsPerRun(100, func() { c.do(1) })
}
