package embedded

import (
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// The native protocol begins with the client's hello: packet 0, the client's
// name, its version (two numbers) and protocol revision, database, user and
// password; numbers are varints and texts have their length in front. See
// ClickHouse's src/Server/TCPHandler.cpp (receiveHello).

// maxHelloText bounds each text of a hello.
const maxHelloText = 4096

// hello is what a client says first.
type hello struct {
	raw                      []byte // as it was
	database, user, password string
}

func readHello(r io.ByteReader) (*hello, error) {
	in := &recorder{r: r}
	var texts []string
	for _, isText := range []bool{false, true, false, false, false, true, true, true} {
		n, err := binary.ReadUvarint(in)
		if err != nil {
			return nil, err
		}
		if !isText {
			continue
		}
		if n > maxHelloText {
			return nil, errors.New("a text of the hello is too long")
		}
		begin := len(in.seen)
		for range n {
			if _, err := in.ReadByte(); err != nil {
				return nil, err
			}
		}
		texts = append(texts, string(in.seen[begin:]))
	}
	return &hello{raw: in.seen, database: texts[1], user: texts[2], password: texts[3]}, nil
}

// recorder is an [io.ByteReader] that keeps what it read.
type recorder struct {
	r    io.ByteReader
	seen []byte
}

func (r *recorder) ReadByte() (byte, error) {
	b, err := r.r.ReadByte()
	if err == nil {
		r.seen = append(r.seen, b)
	}
	return b, err
}

// Databases that are in the engine's memory only.
var memoryDatabases = []string{"", "default", "system", "information_schema", "INFORMATION_SCHEMA"}

// databaseExists looks where the engine keeps what it knows of databases.
func (e *Engine) databaseExists(name string) bool {
	if slices.Contains(memoryDatabases, name) {
		return true
	}
	_, err := os.Stat(filepath.Join(e.cfg.Dir, "store", "metadata", fileName(name)+".sql"))
	return err == nil
}

// fileName escapes a name as the engine does for files.
func fileName(name string) string {
	var out []byte
	for _, c := range []byte(name) {
		if c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
			out = append(out, c)
		} else {
			out = fmt.Appendf(out, "%%%02X", c)
		}
	}
	return string(out)
}

// refusal is the engine's own answer to a hello that would end it; nil when it is
// good. The user default is the child's own: nobody else may be it.
func (e *Engine) refusal(h *hello) []byte {
	password, known := e.passwords[h.user]
	if !known || subtle.ConstantTimeCompare([]byte(password), []byte(h.password)) == 0 {
		return exception(516, h.user+": Authentication failed: password is incorrect, or there is no user with such name. (AUTHENTICATION_FAILED)")
	}
	if !e.databaseExists(h.database) {
		return exception(81, "Database "+h.database+" does not exist. (UNKNOWN_DATABASE)")
	}
	return nil
}

// exception is packet 2: code, name, message, stack trace and no cause.
func exception(code uint32, message string) []byte {
	text := func(b []byte, s string) []byte { return append(binary.AppendUvarint(b, uint64(len(s))), s...) }
	b := binary.LittleEndian.AppendUint32([]byte{2}, code)
	b = text(b, "DB::Exception")
	b = text(b, "DB::Exception: "+message)
	return append(text(b, ""), 0)
}
