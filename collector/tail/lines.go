package tail

import (
	"bytes"
	"errors"
	"io"
)

// readLines returns whole lines from offset, at most maxBatch bytes and maxLines;
// with all, a last one without its end too. skipped is the length of a line that
// is too long, when nothing stands before it.
func readLines(f io.ReaderAt, offset int64, all bool) (lines []byte, skipped int64, err error) {
	buffer := make([]byte, maxBatch)
	n, err := f.ReadAt(buffer, offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, err
	}
	buffer = buffer[:n]
	end := wholeLines(buffer)
	switch {
	case end > 0:
		return buffer[:end], 0, nil
	case n == maxBatch:
		skipped, err = lineLength(f, offset, all)
		return nil, skipped, err
	case all && n > 0:
		return append(buffer, '\n'), -1, nil // the newline is ours
	}
	return nil, 0, nil
}

// wholeLines is the length of the whole lines at the beginning, at most maxLines.
func wholeLines(b []byte) int {
	end := 0
	for range maxLines {
		n := bytes.IndexByte(b[end:], '\n') + 1
		if n == 0 {
			break
		}
		end += n
	}
	return end
}

// lineLength is the length of the line at offset with its end; 0 when it has none
// yet.
func lineLength(f io.ReaderAt, offset int64, all bool) (int64, error) {
	buffer := make([]byte, 64<<10)
	for length := int64(0); ; {
		n, err := f.ReadAt(buffer, offset+length)
		if i := bytes.IndexByte(buffer[:n], '\n'); i >= 0 {
			return length + int64(i) + 1, nil
		}
		length += int64(n)
		if errors.Is(err, io.EOF) {
			if all {
				return length, nil
			}
			return 0, nil
		}
		if err != nil {
			return 0, err
		}
	}
}
