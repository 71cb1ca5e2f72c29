package approval

import (
	"fmt"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // time zones are known on every machine

	"github.com/sallyport/sallyport/bastion"
)

// Limits on the text of a window.
const (
	maxWindow = 500 // bytes
	maxSpans  = 16
)

// Window is the times of the week at which access can be used. The zero Window is
// never open.
type Window struct {
	spans []span
}

// span is a time of day on days of the week, in one time zone.
type span struct {
	days       [7]bool // by time.Weekday
	start, end int     // minutes of the day; an end at or before the start is on the next day
	zone       *time.Location
}

var weekdays = [...]string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// ParseWindow reads times of the week such as
//
//	mon-fri 09:00-17:00 Europe/Berlin; sat,sun 22:00-02:00 UTC
//
// that is days, times of day and a time zone of the IANA database, and more of the
// same after semicolons. A range of days may go over Sunday. A start belongs to its
// time and an end does not; an end before the start is on the next day, and 24:00 is
// the end of the day. Times are those that a clock on the wall of the zone shows:
// when clocks go forward, what they leave out never comes, and when they go back,
// what they show twice counts twice.
func ParseWindow(text string) (Window, error) {
	if len(text) > maxWindow {
		return Window{}, fmt.Errorf("the window has %d bytes, and may have %d", len(text), maxWindow)
	}
	var w Window
	for part := range strings.SplitSeq(text, ";") {
		s, err := parseSpan(strings.Trim(part, " "))
		if err != nil {
			return Window{}, fmt.Errorf("%w; a window is written like mon-fri 09:00-17:00 Europe/Berlin", err)
		}
		if w.spans = append(w.spans, s); len(w.spans) > maxSpans {
			return Window{}, fmt.Errorf("the window has more than %d parts", maxSpans)
		}
	}
	return w, nil
}

func parseSpan(text string) (s span, err error) {
	fields := strings.Split(text, " ")
	if len(fields) != 3 {
		return s, fmt.Errorf("%q is not days, times and a time zone with one space between", bastion.VisibleLine(text))
	}
	if s.days, err = parseDays(fields[0]); err != nil {
		return s, err
	}
	from, to, ok := strings.Cut(fields[1], "-")
	if !ok {
		return s, fmt.Errorf("%q is not two times such as 09:00-17:00", bastion.VisibleLine(fields[1]))
	}
	if s.start, err = parseTime(from); err != nil {
		return s, err
	}
	if s.end, err = parseTime(to); err != nil {
		return s, err
	}
	switch {
	case s.start == 24*60:
		return s, fmt.Errorf("a window cannot begin at 24:00; write 00:00 of the next day")
	case s.start == s.end:
		return s, fmt.Errorf("%s ends when it begins; the whole day is 00:00-24:00", fields[1])
	}
	s.zone, err = parseZone(fields[2])
	return s, err
}

func parseDays(text string) (days [7]bool, err error) {
	for part := range strings.SplitSeq(text, ",") {
		first, last, ranged := strings.Cut(part, "-")
		if !ranged {
			last = first
		}
		from, to := slices.Index(weekdays[:], first), slices.Index(weekdays[:], last)
		if from < 0 || to < 0 {
			return days, fmt.Errorf("%q is not a day or a range of days; days are mon, tue, wed, thu, fri, sat and sun", bastion.VisibleLine(part))
		}
		if ranged && from == to {
			return days, fmt.Errorf("the range %q goes from a day to itself; write mon-sun for the whole week", part)
		}
		for d := from; ; d = (d + 1) % 7 {
			if days[d] {
				return days, fmt.Errorf("%s is named twice in %q", weekdays[d], bastion.VisibleLine(text))
			}
			if days[d] = true; d == to {
				break
			}
		}
	}
	return days, nil
}

// parseTime reads HH:MM, from 00:00 to 24:00, as minutes of the day.
func parseTime(text string) (int, error) {
	digit := func(i int) int { return int(text[i] - '0') }
	if len(text) != 5 || text[2] != ':' || strings.ContainsFunc(text[:2]+text[3:], func(r rune) bool { return r < '0' || r > '9' }) {
		return 0, fmt.Errorf("%q is not a time such as 09:00", bastion.VisibleLine(text))
	}
	hours, minutes := 10*digit(0)+digit(1), 10*digit(3)+digit(4)
	if hours > 24 || minutes > 59 || hours == 24 && minutes > 0 {
		return 0, fmt.Errorf("there is no time %s", text)
	}
	return 60*hours + minutes, nil
}

// parseZone finds a time zone. Names that mean something else on another machine,
// such as Local, are refused, and so is what could be a path of files.
func parseZone(name string) (*time.Location, error) {
	unknown := fmt.Errorf("there is no time zone %q; name one such as Europe/Berlin, or UTC", bastion.VisibleLine(name))
	area, place, ok := strings.Cut(name, "/")
	plain := !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("_+-/", r)
	})
	if name != "UTC" && (!ok || !plain || len(name) > 64 || area == "" || place == "" || area[0] < 'A' || area[0] > 'Z') {
		return nil, unknown
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, unknown
	}
	return zone, nil
}

// String is the window as it was written, or would be.
func (w Window) String() string {
	var parts []string
	for _, s := range w.spans {
		parts = append(parts, s.String())
	}
	return strings.Join(parts, "; ")
}

func (s span) String() string {
	// Runs of days, beginning after a day that is not in it: mon unless there is one.
	first := int(time.Monday)
	for d := range 7 {
		if s.days[(d+1)%7] && !s.days[d] {
			first = (d + 1) % 7
			break
		}
	}
	var days []string
	for i := 0; i < 7; i++ {
		d := (first + i) % 7
		if !s.days[d] {
			continue
		}
		last := d
		for ; i < 6 && s.days[(first+i+1)%7]; i++ {
			last = (first + i + 1) % 7
		}
		if last == d {
			days = append(days, weekdays[d])
		} else {
			days = append(days, weekdays[d]+"-"+weekdays[last])
		}
	}
	return fmt.Sprintf("%s %02d:%02d-%02d:%02d %s", strings.Join(days, ","), s.start/60, s.start%60, s.end/60, s.end%60, s.zone)
}

// Contains reports whether the window is open at t.
func (w Window) Contains(t time.Time) bool {
	return slices.ContainsFunc(w.spans, func(s span) bool { return s.contains(t) })
}

func (s span) contains(t time.Time) bool {
	t = t.In(s.zone)
	today, minute := t.Weekday(), 60*t.Hour()+t.Minute()
	if s.start < s.end {
		return s.days[today] && s.start <= minute && minute < s.end
	}
	yesterday := (today + 6) % 7
	return s.days[today] && minute >= s.start || s.days[yesterday] && minute < s.end
}

// Ends is when a window that is open at t closes; zero if that is not within a
// week, or if it is not open.
func (w Window) Ends(t time.Time) time.Time {
	if !w.Contains(t) {
		return time.Time{}
	}
	// Spans begin and end at whole minutes, whatever clocks do.
	limit := t.Add(8 * 24 * time.Hour)
	for at := t; at.Before(limit); {
		next := at.Truncate(time.Minute).Add(time.Minute)
		for _, s := range w.spans {
			if end := s.ending(at); end.After(next) && s.contains(at) && s.contains(end.Add(-time.Minute)) && !s.shifts(at, end) {
				next = end
			}
		}
		if at = next; !w.Contains(at) {
			return at
		}
	}
	return time.Time{}
}

// ending is when the span that t is in ends, as long as no clock is changed before.
func (s span) ending(t time.Time) time.Time {
	t = t.In(s.zone)
	minute := 60*t.Hour() + t.Minute()
	left := s.end - minute
	if left <= 0 {
		left += 24 * 60
	}
	return t.Truncate(time.Minute).Add(time.Duration(left) * time.Minute)
}

// shifts reports whether the zone's clocks are changed between two times.
func (s span) shifts(from, to time.Time) bool {
	_, a := from.In(s.zone).Zone()
	_, b := to.In(s.zone).Zone()
	return a != b
}
