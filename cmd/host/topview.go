package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/snakepit-go/snakepit/host"
)

// sample is what one look at the host has shown.
type sample struct {
	at      time.Time
	status  hostStatus
	workers []workerStatus
	err     error // why it showed nothing
}

// of keeps what belongs to one pool; all of it when the name is empty.
func (s sample) of(pool string) sample {
	if pool != "" {
		s.status.Pools = slices.DeleteFunc(slices.Clone(s.status.Pools), func(p poolStatus) bool { return p.Name != pool })
		s.workers = slices.DeleteFunc(slices.Clone(s.workers), func(w workerStatus) bool { return w.Pool != pool })
	}
	return s
}

// curveLength is how many samples a curve shows.
const curveLength = 40

// topView is what `top` shows: the newest sample, and what changed since the one before.
type topView struct {
	workers bool
	ascii   bool

	before, now *sample
	silent      error // why the newest look showed nothing
	rate, p99   []float64
}

func newTopView(o topOptions, ascii bool) *topView { return &topView{workers: o.workers, ascii: ascii} }

// add takes a new sample. One of another host, or of a host that began anew, has
// nothing in common with those before.
func (v *topView) add(s sample) {
	if v.silent = s.err; s.err != nil {
		return
	}
	v.before, v.now = v.now, &s
	if v.before == nil || !v.before.status.StartedAt.Equal(s.status.StartedAt) {
		v.before = nil
		return
	}
	var all poolRates
	var run host.Histogram
	for _, p := range s.status.Pools {
		r := v.rates(p)
		all.calls += r.calls
		run = merge(run, r.run)
	}
	v.rate = tail(append(v.rate, all.calls))
	v.p99 = tail(append(v.p99, run.Quantile(0.99).Seconds()))
}

func tail(list []float64) []float64 { return list[max(len(list)-curveLength, 0):] }

// merge puts two histograms together.
func merge(a, b host.Histogram) host.Histogram {
	out := host.Histogram{Sum: a.Sum + b.Sum, Max: max(a.Max, b.Max), Buckets: slices.Concat(a.Buckets, b.Buckets)}
	slices.SortFunc(out.Buckets, func(a, b host.Bucket) int { return int(a.From - b.From) })
	return out
}

// press reports whether the view goes on after a key.
func (v *topView) press(key byte) bool {
	const ctrlC, ctrlD = 3, 4
	switch key {
	case 'q', 'Q', ctrlC, ctrlD:
		return false
	case 'p', 'P':
		v.workers = false
	case 'w', 'W':
		v.workers = true
	}
	return true
}

// poolRates is what became of a pool's calls between two samples.
type poolRates struct {
	calls, errors float64 // a second, of the calls that ended
	queue, run    host.Histogram
}

// elapsed is the time between the two samples; zero without a first.
func (v *topView) elapsed() float64 {
	if v.before == nil {
		return 0
	}
	return v.now.at.Sub(v.before.at).Seconds()
}

func (v *topView) rates(p poolStatus) poolRates {
	if v.elapsed() <= 0 {
		return poolRates{}
	}
	var old poolStatus
	if i := slices.IndexFunc(v.before.status.Pools, func(o poolStatus) bool { return o.Name == p.Name }); i >= 0 {
		old = v.before.status.Pools[i]
	}
	failed := perSecond(total(p.Errors), total(old.Errors), v.elapsed())
	return poolRates{
		calls: perSecond(p.OK, old.OK, v.elapsed()) + failed, errors: failed,
		queue: p.QueueTime.histogram.Since(old.QueueTime.histogram), run: p.RunTime.histogram.Since(old.RunTime.histogram),
	}
}

// workerRate is how many calls a second were started on a worker.
func (v *topView) workerRate(w workerStatus) float64 {
	if v.elapsed() <= 0 {
		return 0
	}
	var old uint64
	if i := slices.IndexFunc(v.before.workers, func(o workerStatus) bool { return o.ID == w.ID }); i >= 0 {
		old = v.before.workers[i].Calls
	}
	return perSecond(w.Calls, old, v.elapsed())
}

func perSecond(now, before uint64, elapsed float64) float64 {
	if now < before {
		return 0
	}
	return float64(now-before) / elapsed
}

func total(counts map[string]uint64) (n uint64) {
	for _, c := range counts {
		n += c
	}
	return n
}

// screen is the view, cut to the size of a terminal.
func (v *topView) screen(width, height int) []string {
	lines := append(v.head(), v.table()...)
	keys := "q quit   p pools   w workers"
	if room := height - 1; len(lines) > room {
		left := len(lines) - max(room-1, 0)
		lines = append(lines[:max(room-1, 0)], fmt.Sprintf("… and %d more", left))
	}
	lines = append(lines, keys)
	for i, line := range lines {
		lines[i] = cut(line, width)
	}
	return lines[:min(len(lines), max(height, 1))]
}

func cut(line string, width int) string {
	if r := []rune(line); len(r) > width {
		return string(r[:max(width, 0)])
	}
	return line
}

// head is what is above the table: the host, and the curves.
func (v *topView) head() []string {
	var lines []string
	if v.silent != nil {
		lines = append(lines, "the host doesn't answer: "+cell(v.silent.Error()))
	}
	if v.now == nil {
		return append(lines, "")
	}
	st := v.now.status
	lines = append(lines, fmt.Sprintf("%s   node %s, %s, pid %d, up %s, %d sessions", v.now.at.Local().Format(time.TimeOnly),
		cell(st.Node), cell(st.State), st.PID, ageText(st.StartedAt, v.now.at), st.SessionCount))
	if n := len(v.rate); n > 0 {
		lines = append(lines, fmt.Sprintf("calls/s %s %s   p99 %s %s",
			curve(v.rate, v.ascii), rateText(v.rate[n-1]), curve(v.p99, v.ascii), spanText(v.p99[n-1])))
	}
	return append(lines, "")
}

func (v *topView) table() []string {
	if v.now == nil {
		return nil
	}
	rows := v.poolRows()
	if v.workers {
		rows = v.workerRows()
	}
	var b bytes.Buffer
	_ = table(&b, rows) // to memory
	return strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
}

func (v *topView) poolRows() [][]string {
	rows := [][]string{{"POOL", "READY", "BUSY", "QUEUED", "CALLS/S", "ERRORS/S", "QUEUE P99", "RUN P50", "RUN P99", "BREAKER"}}
	for _, p := range v.now.status.Pools {
		r := v.rates(p)
		rows = append(rows, []string{
			p.Name, readyText(p), fmt.Sprintf("%d/%d", p.Busy, p.Slots), strconv.Itoa(p.Queued),
			v.known(rateText(r.calls)), v.known(rateText(r.errors)),
			quantileText(r.queue, 0.99), quantileText(r.run, 0.5), quantileText(r.run, 0.99), breakerText(p.Breaker, v.now.at),
		})
	}
	return rows
}

func (v *topView) workerRows() [][]string {
	rows := [][]string{{"WORKER", "STATE", "BUSY", "CALLS/S", "CALLS", "ERRORS", "LAST", "SESSIONS", "MEMORY", "AGE"}}
	for _, w := range v.now.workers {
		rows = append(rows, []string{
			w.ID, w.State, fmt.Sprintf("%d/%d", w.Busy, w.Slots), v.known(rateText(v.workerRate(w))), strconv.FormatUint(w.Calls, 10),
			strconv.FormatUint(w.Errors, 10), w.LastError, strconv.Itoa(w.SessionCount), bytesText(w.RSSBytes), ageText(w.StartedAt, v.now.at),
		})
	}
	return rows
}

// known is empty for a rate before there are two samples.
func (v *topView) known(text string) string {
	if v.before == nil {
		return ""
	}
	return text
}

func quantileText(h host.Histogram, q float64) string {
	return timeText(h.Count(), h.Quantile(q).Seconds())
}

func rateText(r float64) string {
	if r > 0 && r < 10 {
		return strconv.FormatFloat(r, 'f', 1, 64)
	}
	return strconv.FormatFloat(r, 'f', 0, 64)
}

// curve draws values in as many cells, from zero to the highest.
func curve(values []float64, ascii bool) string {
	steps := []rune("▁▂▃▄▅▆▇█")
	if ascii {
		steps = []rune("_.-:=+*#")
	}
	top := slices.Max(values)
	var b strings.Builder
	for _, x := range values {
		step := 0
		if top > 0 {
			step = min(int(x/top*float64(len(steps))), len(steps)-1)
		}
		b.WriteRune(steps[step])
	}
	return b.String()
}

// asciiOnly reports whether the locale says that a terminal knows no more.
func asciiOnly(getenv func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := strings.ToLower(getenv(name)); v != "" {
			return !strings.Contains(v, "utf-8") && !strings.Contains(v, "utf8")
		}
	}
	return true
}

// topReport is a sample in JSON.
type topReport struct {
	At       time.Time   `json:"at"`
	Interval float64     `json:"interval"`
	Node     string      `json:"node"`
	State    string      `json:"state"`
	Pools    []topPool   `json:"pools"`
	Workers  []topWorker `json:"workers"`
}

type topPool struct {
	Name     string  `json:"name"`
	Size     int     `json:"size"`
	Ready    int     `json:"ready"`
	Busy     int     `json:"busy"`
	Slots    int     `json:"slots"`
	Queued   int     `json:"queued"`
	Calls    float64 `json:"calls_per_second"`
	Errors   float64 `json:"errors_per_second"`
	QueueP99 float64 `json:"queue_p99"`
	RunP50   float64 `json:"run_p50"`
	RunP99   float64 `json:"run_p99"`
}

type topWorker struct {
	ID           string  `json:"id"`
	Pool         string  `json:"pool"`
	State        string  `json:"state"`
	Slots        int     `json:"slots"`
	Busy         int     `json:"busy"`
	Calls        float64 `json:"calls_per_second"`
	Errors       uint64  `json:"errors"`
	SessionCount int     `json:"session_count"`
	RSSBytes     uint64  `json:"rss_bytes"`
}

func (v *topView) report() topReport {
	out := topReport{
		At: v.now.at, Interval: v.elapsed(), Node: v.now.status.Node, State: v.now.status.State,
		Pools: []topPool{}, Workers: []topWorker{},
	}
	for _, p := range v.now.status.Pools {
		r := v.rates(p)
		out.Pools = append(out.Pools, topPool{
			Name: p.Name, Size: p.Size, Ready: p.Ready, Busy: p.Busy, Slots: p.Slots, Queued: p.Queued, Calls: r.calls, Errors: r.errors,
			QueueP99: inSeconds(r.queue.Quantile(0.99)), RunP50: inSeconds(r.run.Quantile(0.5)), RunP99: inSeconds(r.run.Quantile(0.99)),
		})
	}
	for _, w := range v.now.workers {
		out.Workers = append(out.Workers, topWorker{
			ID: w.ID, Pool: w.Pool, State: w.State, Slots: w.Slots, Busy: w.Busy, Calls: v.workerRate(w),
			Errors: w.Errors, SessionCount: w.SessionCount, RSSBytes: w.RSSBytes,
		})
	}
	return out
}

// printJSONLine writes one document in one line.
func printJSONLine(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
