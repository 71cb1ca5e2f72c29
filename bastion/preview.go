package bastion

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/bastion/mask"
)

// Preview is what is known of an operation before it runs. Nothing in it is data of
// the target but the samples, which are masked for who asked for them.
type Preview struct {
	// Rows is how many rows the operation touches, -1 if unknown: by the target's
	// estimate, or counted if it was tried.
	Rows int64 `json:"rows"`
	// Note says in a line what the preview is.
	Note string `json:"note,omitempty"`
	// Effect says in lines what the operation does, where its text alone does not tell
	// people: the difference in meaning of two policies, for example.
	Effect []string `json:"effect,omitempty"`
	// Caveats are what the preview cannot know, a sentence each.
	Caveats []string `json:"caveats,omitempty"`
	// At is when it was made.
	At time.Time `json:"at,omitzero"`

	// Tried: the operation was run on the target and taken back. What follows is
	// there only then.
	Tried bool `json:"tried,omitempty"`
	// Failure is why running it failed, which it probably would again.
	Failure string `json:"failure,omitempty"`
	// Took is how long it ran.
	Took time.Duration `json:"took,omitempty"`
	// Before and After are some rows as they are without and with it, nil if there are
	// none to be shown. Rows at the same place are the same row.
	Before *Sample `json:"before,omitempty"`
	After  *Sample `json:"after,omitempty"`
}

// Sample is a few rows of what an operation touches, masked for the one who looks.
type Sample struct {
	Columns []SampleColumn `json:"columns"`
	Rows    [][]*string    `json:"rows"` // nil is NULL; a row without values is none
}

// SampleColumn is a column of a sample.
type SampleColumn struct {
	Name   string `json:"name"`
	Masked bool   `json:"masked,omitempty"`
}

// Limits of a sample.
const (
	// MaxSample is the greatest number of rows in a sample.
	MaxSample      = 5
	maxSampleValue = 200 // bytes
)

// add takes a frame of an answer into the sample.
func (s *Sample) add(f Frame) error {
	switch f.Kind() {
	case ColumnsFrame:
		s.Columns, s.Rows = nil, nil
		for _, c := range f.Columns() {
			s.Columns = append(s.Columns, SampleColumn{Name: c.Name, Masked: c.Masked()})
		}
	case RowFrame:
		if len(s.Rows) == MaxSample {
			return errors.New("internal error: a sample of too many rows")
		}
		row := make([]*string, len(f.Row()))
		for i, v := range f.Row() {
			if v == nil {
				continue
			}
			text := string(v)
			if len(text) > maxSampleValue {
				text = strings.ToValidUTF8(text[:maxSampleValue], "") + "…"
			}
			row[i] = &text
		}
		s.Rows = append(s.Rows, row)
	}
	return nil
}

// Skip notes that there is no row at this place, such as the one after a deletion.
func (s *Sink) Skip() error {
	if s == nil || s.show == nil {
		return ErrPermit
	}
	return s.show(Frame{kind: RowFrame})
}

// Trial is what it takes to try what a request asks for.
type Trial struct {
	Request Request
	// Asker is who asked as they are now, with the access that they have been granted.
	Asker Identity
	// Params are the parameters of the operation.
	Params Params
	// Recorded is the text as it may be recorded.
	Recorded string
}

// maxTrial is how long a trial may take in all, connecting included.
const maxTrial = 30 * time.Second

// Try has the operation of a request run on its target and taken back, so that who
// decides sees what comes of it. It is for those who may vote on the request, and
// only where the rules that ask for their approval say so, now as when it was asked.
//
// It runs on a connection of its own, which ends with it. What of the target it shows
// is what the person may read there by themselves, through their own masks: the look
// at it is decided like any operation of theirs. Nothing of it is kept but the number
// of rows, in the record.
func (s *Session) Try(ctx context.Context, id uint64) (Preview, error) {
	ctx, stop := s.bind(ctx)
	defer stop()
	ctx, cancel := context.WithTimeoutCause(ctx, maxTrial, fmt.Errorf("the preview took more than %s, so it was stopped and taken back; decide by the text and the estimate", maxTrial))
	defer cancel()
	who, err := s.current(ctx)
	if err != nil {
		return Preview{}, err
	}
	tr, err := s.c.Approvals.Trial(ctx, who, id)
	if err != nil {
		return Preview{}, err
	}
	r := tr.Request
	if !r.Try {
		return Preview{}, notTried(r.Rule, "policy does not let what this rule asks about be run for a preview")
	}
	t, ok := s.c.Targets.Named(r.Target)
	if !ok {
		return Preview{}, fmt.Errorf("target %q: %w", VisibleLine(r.Target), ErrNotFound)
	}
	if !s.trying.CompareAndSwap(false, true) {
		return Preview{}, errors.New("a preview is being made in this session already; wait for it")
	}
	defer s.trying.Store(false)
	e := Event{Kind: EventTry, Target: t.Name, Verb: r.Verb, Text: tr.Recorded, Digest: r.Digest, Request: id, Rule: r.Rule, Effect: Allow.String()}
	if err := s.record(e); err != nil {
		return Preview{}, err
	}
	if err := s.flush(); err != nil {
		return Preview{}, err
	}
	began := s.c.Now()
	p, m, err := s.try(ctx, who, t, tr)
	err = clean(err, m)
	var te *TargetError
	if errors.As(err, &te) && p.Tried {
		p.Failure, p.Rows, err = te.Error(), -1, nil
	}
	e.Text, e.Effect, e.Took = "", "", s.c.Now().Sub(began) // it is no result: nothing came of it
	e.Rows = max(0, p.Rows)
	cause := context.Cause(s.ctx)
	if cause == nil {
		cause = context.Cause(ctx)
	}
	switch {
	case err != nil && cause != nil:
		err = cause
		e.Error = err.Error()
	case te != nil:
		e.Error = (&TargetError{Code: te.Code, Summary: te.Summary}).Error()
	case err != nil:
		e.Error = err.Error()
	}
	if rerr := s.record(e); rerr != nil {
		return Preview{}, rerr
	}
	return p, err
}

// try connects, reads what the request asks for anew, decides and has it tried. The
// mask rules are those for errors of the target; they hide everything unless the
// person may look.
func (s *Session) try(ctx context.Context, who Identity, t Target, tr Trial) (p Preview, m mask.Rules, err error) {
	r := tr.Request
	c, err := s.connector(t)
	if err != nil {
		return p, m, err
	}
	connecting := Operation{target: t, intent: Intent{Verb: Connect, Actions: []Action{{Verb: Connect}}}, text: "connect " + t.Name, session: s}
	secret, err := s.c.Secrets.Secret(ctx, t)
	if err != nil {
		return p, m, fmt.Errorf("the credential of %s cannot be fetched; tell whoever runs the bastion", t.Name)
	}
	conn, err := c.Dial(ctx, s.permit(&connecting, ForDial, secret))
	if err != nil {
		return p, m, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	trier, ok := conn.(Trier)
	if !ok {
		return p, m, notTried("", fmt.Sprintf("operations on targets of kind %q cannot be tried", t.Kind))
	}
	// What is tried is what was asked for, as it would be read and decided now.
	if err := trier.Adopt(ctx, r.Settings); err != nil {
		return p, m, err
	}
	op, err := s.readFor(ctx, conn, t, r.Text, tr.Params)
	if err != nil {
		return p, m, err
	}
	if op.Digest() != r.Digest {
		return p, m, notTried("exact-operation", "it would not be what was asked for: the session that asked has settings of its own, or the target has changed since")
	}
	d := s.c.Policy.Decide(tr.Asker, op)
	if d.Estimate {
		estimate, err := conn.Preview(ctx, s.permit(&op, ForPreview, Secret{}))
		if err != nil {
			return p, m, err
		}
		d = s.c.Policy.Decide(tr.Asker, op.Estimated(estimate.Rows))
	}
	if d.Effect != Ask || !d.Try {
		return p, m, notTried(d.Rule, "policy has changed since it was asked for, and does not let it be run for a preview now")
	}
	text, err := trier.Look(ctx, r.Text)
	if err != nil {
		return p, m, notTried("", err.Error())
	}
	var before, after *Sink
	var samples [2]Sample
	unseen := ""
	if text != "" {
		look, d, why, err := s.look(ctx, who, conn, connecting, op, text)
		if err != nil {
			return p, m, err
		}
		if unseen = why; why == "" {
			m = d.Mask
			before = &Sink{rules: m, outputs: look.intent.Outputs, show: samples[0].add}
			after = &Sink{rules: m, outputs: look.intent.Outputs, show: samples[1].add}
		}
	}
	if cause := context.Cause(ctx); cause != nil {
		return p, m, cause
	}
	p, err = trier.Try(ctx, s.permit(&op, ForTry, Secret{}), before, after)
	p.Tried, p.At = true, s.c.Now()
	if unseen != "" {
		p.Caveats = append([]string{"No rows are shown, because you could not read them yourself: " + unseen + "."}, p.Caveats...)
	}
	if len(samples[0].Columns) > 0 {
		p.Before = &samples[0]
	}
	if len(samples[1].Columns) > 0 {
		p.After = &samples[1]
	}
	return p, m, err
}

// readFor reads a text on a connection that is not one of the session's own.
func (s *Session) readFor(ctx context.Context, conn Conn, t Target, text string, params Params) (Operation, error) {
	intent, err := conn.Parse(ctx, text)
	if err == nil {
		err = intent.check()
	}
	return Operation{target: t, intent: intent, text: text, params: params, session: s}, err
}

// look decides whether the person may read what trying an operation shows of the
// target. why says why not; empty if they may. Which rows are shown tells something of
// what the operation compares, so that counts as compared by the person.
func (s *Session) look(ctx context.Context, who Identity, conn Conn, connecting, op Operation, text string) (look Operation, d Decision, why string, err error) {
	if look, err = s.readFor(ctx, conn, op.target, text, Params{}); err != nil {
		return look, d, "", err
	}
	look.intent.Probes = append(slices.Clone(look.intent.Probes), op.intent.Probes...)
	if may, err := s.connects(ctx, who, connecting); err != nil || !may {
		return look, Decision{}, "to look at " + op.target.Name + " you need to be let in there first", err
	}
	d = s.c.Policy.Decide(who, look)
	e := s.event(EventDecision, look)
	e.Effect, e.Rule, e.Reason = d.Effect.String(), d.Rule, d.Reason
	switch {
	case d.Effect == Allow && d.Fresh > 0 && who.Kind == Person && s.c.Now().Sub(who.SignedIn) > d.Fresh:
		why, d = (&StaleError{d.Fresh}).Error(), Decision{}
		e.Error = "the sign-in is too old"
	case d.Effect != Allow || d.Estimate:
		why = "policy does not let you read it without being asked about"
		if d.Effect == Deny {
			why = (&DeniedError{Rule: d.Rule, Reason: d.Reason}).Error()
		}
		d = Decision{}
	}
	return look, d, why, s.record(e)
}

// connects reports whether the person may connect to the target of an operation that
// does so: by policy alone, or by an approval that holds for a time.
func (s *Session) connects(ctx context.Context, who Identity, op Operation) (bool, error) {
	d := s.c.Policy.Decide(who, op)
	stale := d.Fresh > 0 && who.Kind == Person && s.c.Now().Sub(who.SignedIn) > d.Fresh
	if d.Effect != Ask || stale {
		return d.Effect == Allow && !stale, nil
	}
	r, ok, err := s.c.Approvals.Find(ctx, who, op)
	if err != nil || !ok || r.State != Approved || r.Holds == 0 || d.Holds == 0 {
		return false, err
	}
	_, err = s.c.Approvals.Use(ctx, r.ID, Question{Who: who, Origin: s.c.Origin, Session: s.c.ID, Op: op, Decision: d, Reason: r.Reason})
	var not *NotApprovedError
	if errors.As(err, &not) {
		return false, nil
	}
	return err == nil, err
}

// notTried says why an operation is not tried.
func notTried(rule, why string) error {
	return &DeniedError{Rule: rule, Reason: why, Next: "decide by the text, what it does and the estimate"}
}

// Lines says the preview in lines for people: how many rows, what becomes of some of
// them, and what it cannot know. Its effect is not among them.
func (p Preview) Lines() []string {
	var b []string
	note := ""
	if p.Note != "" {
		note = " (" + VisibleLine(p.Note) + ")"
	}
	switch {
	case p.Failure != "":
		b = append(b, "it was run, and failed: "+VisibleLine(p.Failure))
	case p.Tried && p.Rows >= 0:
		b = append(b, counted(p.Rows)+note)
	case p.Tried:
		b = append(b, "it runs to its end"+note)
	case p.Rows >= 0:
		b = append(b, "about "+counted(p.Rows)+note)
	case p.Note != "":
		b = append(b, VisibleLine(p.Note))
	default:
		b = append(b, "unknown")
	}
	b = append(b, changes(p.Before, p.After)...)
	for _, c := range p.Caveats {
		b = append(b, "note: "+VisibleLine(c))
	}
	return b
}

func counted(n int64) string {
	if n == 1 {
		return "1 row"
	}
	return fmt.Sprintf("%d rows", n)
}

// changes says what becomes of sampled rows.
func changes(before, after *Sample) []string {
	shown := after
	if shown == nil {
		shown = before
	}
	if shown == nil || len(shown.Rows) == 0 {
		return nil
	}
	var hidden []string
	for _, c := range shown.Columns {
		if c.Masked {
			hidden = append(hidden, VisibleLine(c.Name))
		}
	}
	var b []string
	for i, now := range shown.Rows {
		switch {
		case after == nil:
			b = append(b, "goes: "+shown.row(now))
		case before == nil || i >= len(before.Rows) || len(before.Rows[i]) != len(now) || len(before.Columns) != len(after.Columns):
			b = append(b, "then: "+shown.row(now))
		default:
			b = append(b, "row "+shown.cell(now, 0)+":")
			same := true
			for j := range now {
				if then := before.Rows[i][j]; then == nil != (now[j] == nil) || then != nil && *then != *now[j] {
					same = false
					b = append(b, "  "+VisibleLine(shown.Columns[j].Name)+": "+value(then)+" → "+value(now[j]))
				}
			}
			if same {
				b = append(b, "  stays as it is, as far as you may see")
			}
		}
	}
	if len(hidden) > 0 {
		b = append(b, "masked for you, so that a change may not show: "+strings.Join(hidden, ", "))
	}
	return b
}

// row is all of a row in one line.
func (s *Sample) row(values []*string) string {
	var cells []string
	for i := range values {
		cells = append(cells, s.cell(values, i))
	}
	return strings.Join(cells, ", ")
}

func (s *Sample) cell(values []*string, i int) string {
	if i >= len(values) || i >= len(s.Columns) {
		return "?"
	}
	return VisibleLine(s.Columns[i].Name) + " " + value(values[i])
}

func value(v *string) string {
	switch {
	case v == nil:
		return "NULL"
	case *v == "" || *v == "NULL" || strings.TrimSpace(*v) != *v:
		return "'" + VisibleLine(*v) + "'"
	}
	return VisibleLine(*v)
}
