package embedded

import (
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

// readHello reads a hello up to the database and returns it as it was.
func readHello(r io.ByteReader) (raw []byte, database string, err error) {
	in := &recorder{r: r}
	var texts []string
	for _, isText := range []bool{false, true, false, false, false, true} {
		n, err := binary.ReadUvarint(in)
		if err != nil {
			return nil, "", err
		}
		if !isText {
			continue
		}
		if n > maxHelloText {
			return nil, "", errors.New("a text of the hello is too long")
		}
		begin := len(in.seen)
		for range n {
			if _, err := in.ReadByte(); err != nil {
				return nil, "", err
			}
		}
		texts = append(texts, string(in.seen[begin:]))
	}
	return in.seen, texts[1], nil
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

// unknownDatabase is the engine's own answer to a hello: packet 2, an exception
// with code, name, message, stack trace and no cause.
func unknownDatabase(name string) []byte {
	text := func(b []byte, s string) []byte { return append(binary.AppendUvarint(b, uint64(len(s))), s...) }
	b := binary.LittleEndian.AppendUint32([]byte{2}, 81)
	b = text(b, "DB::Exception")
	b = text(b, fmt.Sprintf("DB::Exception: Database %s does not exist. (UNKNOWN_DATABASE)", name))
	return append(text(b, ""), 0)
}
