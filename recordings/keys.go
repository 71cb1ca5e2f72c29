package recordings

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"time"
)

const (
	numberSize = 8
	startSize  = 12
)

func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// numbered is prefix and number in one key.
func numbered(prefix []byte, n uint64) []byte {
	return binary.BigEndian.AppendUint64(slices.Clip(prefix), n)
}

// digest makes a prefix of one length out of names, each framed by its length.
func digest(names ...string) []byte {
	h := sha256.New()
	for _, s := range names {
		h.Write(number(uint64(len(s))))
		h.Write([]byte(s))
	}
	return h.Sum(nil)
}

func sessionPrefix(id string) []byte { return append([]byte(id), 0) }

// startKey sorts by time, also before 1970, then by session.
func startKey(t time.Time, id string) []byte {
	k := binary.BigEndian.AppendUint64(nil, uint64(t.Unix())^(1<<63))
	k = binary.BigEndian.AppendUint32(k, uint32(t.Nanosecond()))
	return append(k, id...)
}

func parseStart(k []byte) time.Time {
	if len(k) < startSize {
		return time.Time{}
	}
	return time.Unix(int64(binary.BigEndian.Uint64(k)^(1<<63)), int64(binary.BigEndian.Uint32(k[8:])))
}

// highest is above all keys of this package that begin with the prefix: after a
// prefix comes a number or a start, whose first byte is never 0xff.
func highest(prefix []byte) []byte { return append(slices.Clip(prefix), 0xff) }

func hasPrefix(k, prefix []byte) bool { return bytes.HasPrefix(k, prefix) }
