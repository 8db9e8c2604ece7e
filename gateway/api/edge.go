package api

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"
)

// plain refuses what no id, reference or filter can be: bytes that are not UTF-8 and
// control characters, and a NUL anywhere in a body. PostgreSQL takes none of them, and
// a header or a terminal would take them for commands.
func plain(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/v1/") {
			next.ServeHTTP(w, r)
			return
		}
		where := ""
		for name, values := range r.URL.Query() {
			if !isPlain(name) || !isPlain(strings.Join(values, "")) {
				where = "The query"
			}
		}
		switch {
		case !isPlain(r.URL.Path):
			where = "The path"
		case !isPlain(r.Header.Get("Idempotency-Key")):
			where = "Idempotency-Key"
		}
		if where == "" && r.Body != nil {
			// One byte more than may come: what is too long is refused further on.
			body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
			if err == nil && (bytes.Contains(body, []byte(`\u0000`)) || bytes.IndexByte(body, 0) >= 0) {
				where = "The body"
			}
			r.Body = struct {
				io.Reader
				io.Closer
			}{io.MultiReader(bytes.NewReader(body), r.Body), r.Body}
		}
		if where != "" {
			writeProblem(w, problem(http.StatusUnprocessableEntity, "invalid", where+" holds a control character, or is not UTF-8."))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func isPlain(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, unicode.IsControl)
}
