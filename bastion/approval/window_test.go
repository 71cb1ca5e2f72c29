package approval_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/bastion/approval"
)

func window(t testing.TB, text string) approval.Window {
	t.Helper()
	w, err := approval.ParseWindow(text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return w
}

func TestWindowWritten(t *testing.T) {
	for text, want := range map[string]string{
		"mon-fri 09:00-17:00 Europe/Berlin":                        "",
		"sun 00:00-24:00 UTC":                                      "",
		"fri-mon 22:00-06:00 America/New_York":                     "",
		"mon,wed,fri 08:30-08:31 UTC":                              "",
		"mon,tue,wed,fri 08:30-08:31 UTC":                          "mon-wed,fri 08:30-08:31 UTC",
		"mon-fri,sat-sun 09:00-17:00 UTC":                          "mon-sun 09:00-17:00 UTC",
		" mon 01:00-02:00 UTC ;  tue 03:00-04:00 Asia/Kathmandu ":  "mon 01:00-02:00 UTC; tue 03:00-04:00 Asia/Kathmandu",
		"sat 00:00-00:01 America/Argentina/Buenos_Aires":           "",
		"tue 23:59-00:00 UTC; wed 10:00-09:59 Australia/Lord_Howe": "",
	} {
		if want == "" {
			want = text
		}
		if got := window(t, text).String(); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}

func TestWindowRefused(t *testing.T) {
	for text, says := range map[string]string{
		"":                                    `"" is not days, times and a time zone`,
		"mon-fri 09:00-17:00":                 "is not days, times and a time zone",
		"mon-fri  09:00-17:00 UTC":            "with one space between",
		"mon-fri 09:00-17:00 UTC x":           "is not days, times and a time zone",
		"mon-fri 09:00-17:00 UTC;":            `"" is not days`,
		"Mon 09:00-17:00 UTC":                 `"Mon" is not a day`,
		"monday 09:00-17:00 UTC":              `"monday" is not a day`,
		"mon,,tue 09:00-17:00 UTC":            `"" is not a day`,
		"mon-mon 09:00-17:00 UTC":             "from a day to itself",
		"mon-wed,tue 09:00-17:00 UTC":         "tue is named twice",
		"mon-wed-fri 09:00-17:00 UTC":         "is not a day or a range",
		"mon 9:00-17:00 UTC":                  `"9:00" is not a time such as 09:00`,
		"mon 09:00 UTC":                       "is not two times",
		"mon 09:00-25:00 UTC":                 "there is no time 25:00",
		"mon 09:60-10:00 UTC":                 "there is no time 09:60",
		"mon 24:00-10:00 UTC":                 "cannot begin at 24:00",
		"mon 09:00-24:01 UTC":                 "there is no time 24:01",
		"mon 09:00-09:00 UTC":                 "ends when it begins; the whole day is 00:00-24:00",
		"mon ٠٩:00-10:00 UTC":                 "is not a time",
		"mon -1:00-10:00 UTC":                 "is not a time",
		"mon 09:00-17:00 Europe/Atlantis":     `there is no time zone "Europe/Atlantis"; name one such as Europe/Berlin, or UTC`,
		"mon 09:00-17:00 Local":               "there is no time zone",
		"mon 09:00-17:00 EST":                 "there is no time zone",
		"mon 09:00-17:00 ../../etc/passwd":    "there is no time zone",
		"mon 09:00-17:00 /etc/localtime":      "there is no time zone",
		"mon 09:00-17:00 Europe/../UTC":       "there is no time zone",
		"mon 09:00-17:00 Europe/\x1b[2J":      `"Europe/<U+001B>[2J"`,
		"mon 09:00-17:00 right/Europe/Berlin": "there is no time zone",
		strings.Repeat("mon ", 200):           "has 800 bytes, and may have 500",
		strings.Repeat("mon 1:1-2:2 UTC;", 3): "is not a time",
		strings.Repeat("mon 01:00-02:00 UTC;", 17) + "mon 01:00-02:00 UTC": "more than 16 parts",
	} {
		_, err := approval.ParseWindow(text)
		refused(t, err, says)
	}
}

func TestWindowContains(t *testing.T) {
	for _, c := range []struct {
		window, at string
		open       bool
		ends       string // in UTC; empty if it is not open or never closes
	}{
		{"mon-fri 09:00-17:00 UTC", "2026-03-02T09:00:00Z", true, "2026-03-02T17:00:00Z"}, // a Monday
		{"mon-fri 09:00-17:00 UTC", "2026-03-02T08:59:59.999999999Z", false, ""},
		{"mon-fri 09:00-17:00 UTC", "2026-03-02T16:59:59.999999999Z", true, "2026-03-02T17:00:00Z"},
		{"mon-fri 09:00-17:00 UTC", "2026-03-02T17:00:00Z", false, ""},
		{"mon-fri 09:00-17:00 UTC", "2026-03-01T12:00:00Z", false, ""}, // Sunday
		{"fri-mon 09:00-17:00 UTC", "2026-03-01T12:00:00Z", true, "2026-03-01T17:00:00Z"},
		{"fri-mon 09:00-17:00 UTC", "2026-03-03T12:00:00Z", false, ""},
		// Over midnight: the night belongs to the day on which it begins.
		{"mon 22:00-06:00 UTC", "2026-03-02T23:00:00Z", true, "2026-03-03T06:00:00Z"},
		{"mon 22:00-06:00 UTC", "2026-03-03T05:59:00Z", true, "2026-03-03T06:00:00Z"},
		{"mon 22:00-06:00 UTC", "2026-03-03T06:00:00Z", false, ""},
		{"mon 22:00-06:00 UTC", "2026-03-02T05:00:00Z", false, ""}, // that was Sunday's
		{"sun 22:00-06:00 UTC", "2026-03-02T05:00:00Z", true, "2026-03-02T06:00:00Z"},
		{"sat 00:00-24:00 UTC", "2026-03-07T23:59:59Z", true, "2026-03-08T00:00:00Z"},
		{"sat 00:00-24:00 UTC", "2026-03-08T00:00:00Z", false, ""},
		{"sat 10:00-09:59 UTC", "2026-03-08T09:58:00Z", true, "2026-03-08T09:59:00Z"},
		{"mon-sun 00:00-24:00 UTC", "2026-03-08T00:00:00Z", true, ""},
		// Parts that touch are one.
		{"mon 09:00-12:00 UTC; mon 12:00-17:00 UTC", "2026-03-02T10:00:00Z", true, "2026-03-02T17:00:00Z"},
		{"mon 09:00-24:00 UTC; tue 00:00-02:00 UTC", "2026-03-02T10:00:00Z", true, "2026-03-03T02:00:00Z"},
		{"mon 09:00-12:00 UTC; mon 14:00-17:00 UTC", "2026-03-02T13:00:00Z", false, ""},
		// Another zone, also one that is not whole hours away; the day is the zone's.
		{"mon-fri 09:00-17:00 Europe/Berlin", "2026-03-02T08:00:00Z", true, "2026-03-02T16:00:00Z"},
		{"mon-fri 09:00-17:00 Europe/Berlin", "2026-07-06T07:00:00Z", true, "2026-07-06T15:00:00Z"},
		{"mon 00:00-01:00 Asia/Kathmandu", "2026-03-01T18:15:00Z", true, "2026-03-01T19:15:00Z"},
		// Clocks go forward on 29 March at 02:00 in Berlin: 02:30 never comes.
		{"sun 02:15-02:45 Europe/Berlin", "2026-03-29T01:00:00Z", false, ""},
		{"sun 02:15-02:45 Europe/Berlin", "2026-03-29T00:59:00Z", false, ""},
		{"sun 01:00-04:00 Europe/Berlin", "2026-03-29T00:30:00Z", true, "2026-03-29T02:00:00Z"}, // two hours in all
		{"sun 01:30-02:30 Europe/Berlin", "2026-03-29T00:45:00Z", true, "2026-03-29T01:00:00Z"},
		{"sat 22:00-06:00 Europe/Berlin", "2026-03-28T22:00:00Z", true, "2026-03-29T04:00:00Z"},
		{"sat,sun 10:00-09:59 Europe/Berlin", "2026-03-28T12:00:00Z", true, "2026-03-29T07:59:00Z"}, // a minute is missing
		// And back on 25 October at 03:00: 02:30 comes twice.
		{"sun 02:15-02:45 Europe/Berlin", "2026-10-25T00:20:00Z", true, "2026-10-25T00:45:00Z"},
		{"sun 02:15-02:45 Europe/Berlin", "2026-10-25T00:50:00Z", false, ""},
		{"sun 02:15-02:45 Europe/Berlin", "2026-10-25T01:20:00Z", true, "2026-10-25T01:45:00Z"},
		{"sun 01:00-04:00 Europe/Berlin", "2026-10-25T00:00:00Z", true, "2026-10-25T03:00:00Z"}, // four hours
	} {
		w, at := window(t, c.window), moment(t, c.at)
		if got := w.Contains(at); got != c.open {
			t.Errorf("%s at %s: %v", c.window, c.at, got)
		}
		want := time.Time{}
		if c.ends != "" {
			want = moment(t, c.ends)
		}
		if got := w.Ends(at); !got.Equal(want) {
			t.Errorf("%s at %s ends %v, want %v", c.window, c.at, got.UTC(), want)
		}
	}
	if (approval.Window{}).Contains(start) || !(approval.Window{}).Ends(start).IsZero() {
		t.Error("the zero window is open")
	}
}

func moment(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// What is read can be written and read again, and means the same; and the end of
// an open time is where looking at every minute finds it.
func FuzzParseWindow(f *testing.F) {
	for _, s := range []string{"mon-fri 09:00-17:00 Europe/Berlin", "fri-mon 22:00-06:00 America/New_York; sun 02:15-02:45 UTC",
		"mon,wed 00:00-24:00 Asia/Kathmandu", "mon 24:00-01:00 UTC", "tue 23:59-00:00 Australia/Lord_Howe", ";", "mon-fri 09:00-17:00 ../x"} {
		f.Add(s, int64(1774746000), uint16(0)) // just before clocks go forward in Berlin
		f.Add(s, int64(1792888200), uint16(3000))
	}
	f.Fuzz(func(t *testing.T, text string, from int64, later uint16) {
		w, err := approval.ParseWindow(text)
		if err != nil {
			for _, r := range err.Error() {
				if r < ' ' {
					t.Fatalf("%q carries a control character", err)
				}
			}
			return
		}
		again, err := approval.ParseWindow(w.String())
		if err != nil || again.String() != w.String() {
			t.Fatalf("%q became %q, and that %q, %v", text, w, again, err)
		}
		at := time.Unix(from%(1<<33), 0).Add(time.Duration(later) * time.Minute)
		if w.Contains(at) != again.Contains(at) {
			t.Fatalf("%q and %q differ at %v", text, w, at)
		}
		if year := at.Year(); year < 1990 || year > 2100 {
			return // of zones with seconds nothing is promised
		}
		var want time.Time
		for m := at.Truncate(time.Minute).Add(time.Minute); w.Contains(at) && m.Before(at.Add(8*24*time.Hour)); m = m.Add(time.Minute) {
			if !w.Contains(m) {
				want = m
				break
			}
		}
		if got := w.Ends(at); !got.Equal(want) {
			t.Fatalf("%q at %v ends %v, want %v", w, at.UTC(), got.UTC(), want.UTC())
		}
	})
}
