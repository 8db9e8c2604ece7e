package pages

import (
	"net/url"
	"regexp"
	"strings"
)

// reading is a message made ready to be read on a page: paragraphs of lines of
// pieces, the text of the mail and what stands below it. Nothing of it is markup;
// html/template escapes each piece.
type reading struct{ Text, Below [][][]piece }

// piece is plain text, or the words of a link.
type piece struct{ Words, Link string }

// signature divides the text of a mail from what stands below.
const signature = "\n----\n"

// read cuts a text at its blank lines.
func read(text string) reading {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	above, below, _ := strings.Cut("\n"+text, signature)
	return reading{paragraphs(above), paragraphs(below)}
}

func paragraphs(text string) [][][]piece {
	var list [][][]piece
	for block := range strings.SplitSeq(text, "\n\n") {
		var lines [][]piece
		var label string
		for line := range strings.SplitSeq(strings.Trim(block, "\n"), "\n") {
			// "Open it here:" on a line by itself belongs to the link on the next one.
			if link, ok := whole(line); ok && label != "" {
				lines[len(lines)-1] = []piece{{label, link}}
				label = ""
				continue
			}
			label, _ = strings.CutSuffix(line, ":")
			if label == line {
				label = ""
			}
			if line != "" {
				lines = append(lines, pieces(line))
			}
		}
		if lines != nil {
			list = append(list, lines)
		}
	}
	return list
}

// address finds what may be a link; followable decides.
var address = regexp.MustCompile(`https?://[^\s<>"]+`)

// pieces finds the links of a line. "Label: link" shows the label as the link:
// nobody wants to have an address read out to them (WCAG 2.4.4).
func pieces(line string) []piece {
	if label, link, ok := strings.Cut(line, ": "); ok && label != "" {
		if link, ok := whole(link); ok {
			return []piece{{label, link}}
		}
	}
	var list []piece
	for line != "" {
		at := address.FindStringIndex(line)
		if at == nil {
			break
		}
		found := strings.TrimRight(line[at[0]:at[1]], ".,;:!?)]}'”’")
		if link, ok := followable(found); ok {
			if at[0] > 0 {
				list = append(list, piece{Words: line[:at[0]]})
			}
			list = append(list, piece{found, link})
		} else {
			list = append(list, piece{Words: line[:at[0]+len(found)]})
		}
		line = line[at[0]+len(found):]
	}
	if line != "" {
		list = append(list, piece{Words: line})
	}
	return list
}

// whole says whether a text is one link and nothing else.
func whole(text string) (string, bool) {
	text = strings.TrimSpace(text)
	if address.FindString(text) != text {
		return "", false
	}
	return followable(text)
}

// followable lets http and https through, without a user name that could pass for
// the host.
func followable(text string) (string, bool) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil {
		return "", false
	}
	return u.String(), true
}
