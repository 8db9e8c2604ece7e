package sendgrid

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"harmonize.care/heed/channels"
)

// letterTo writes a letter to people, each with a link of their own.
func letterTo(boxes ...string) channels.Letter {
	l := channels.Letter{
		Program: channels.Marketing, Subject: "Groups", Text: "Leave: https://mark.invalid/-out-", HTML: `<a href="https://mark.invalid/-out-">Leave</a>`, Bulk: true,
	}
	for i, box := range boxes {
		way := fmt.Sprintf("https://heed.example/u/%d", i)
		l.People = append(l.People, channels.Person{
			Attempt: int64(100 + i), To: box, Fill: map[string]string{"https://mark.invalid/-out-": way},
			Headers: map[string]string{"List-Unsubscribe": "<" + way + ">", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"},
		})
	}
	return l
}

func TestALetterToMany(t *testing.T) {
	w := newWorld(t)
	w.opt.ASMGroup = 1
	a := newAdapter(t, w.opt)
	var boxes []string
	for i := range channels.MaxBatch {
		boxes = append(boxes, fmt.Sprintf("p%d@patients.example", i))
	}
	receipt, err := a.SendBatch(t.Context(), letterTo(boxes...))
	if err != nil || receipt.ProviderID == "" || w.posts.Load() != 1 {
		t.Fatalf("%+v, %v, in %d requests", receipt, err, w.posts.Load())
	}
	got := w.Messages()
	if len(got) != channels.MaxBatch {
		t.Fatalf("%d arrived", len(got))
	}
	for _, m := range got {
		var i int
		if _, err := fmt.Sscanf(m.To, "p%d@", &i); err != nil {
			t.Fatal(err)
		}
		way := fmt.Sprintf("https://heed.example/u/%d", i)
		if m.Body != "Leave: "+way || !strings.Contains(m.HTML, `"`+way+`"`) || m.Headers["List-Unsubscribe"] != "<"+way+">" || m.Args["attempt"] != fmt.Sprint(100+i) {
			t.Fatalf("%s got what is somebody else's: %+v", m.To, m)
		}
	}
}

func TestALetterThatIsNotTaken(t *testing.T) {
	for name, c := range map[string]struct {
		letter channels.Letter
		kind   channels.SendErrorKind
		posts  int64
	}{
		"to nobody":           {letterTo(), channels.TryNever, 0},
		"to too many":         {letterTo(make([]string, channels.MaxBatch+1)...), channels.TryNever, 0},
		"a refused address":   {letterTo("a@patients.example", "refused@patients.example"), channels.AddressIsBad, 1},
		"an address twice":    {letterTo("a@patients.example", "A@patients.example"), channels.TryNever, 1},
		"too many requests":   {letterTo("a@patients.example", "429@patients.example"), channels.TryLater, 1},
		"a lost answer":       {letterTo("a@patients.example", "drop@patients.example"), channels.OutcomeUnknown, 1},
		"an address in lines": {letterTo("a@patients.example", "b@patients.example\r\nBcc: c@patients.example"), channels.AddressIsBad, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.opt.ASMGroup = 1
			_, err := newAdapter(t, w.opt).SendBatch(t.Context(), c.letter)
			var failed *channels.SendError
			if !errors.As(err, &failed) || failed.Kind != c.kind || w.posts.Load() != c.posts {
				t.Errorf("%v, in %d requests", err, w.posts.Load())
			}
			if strings.Contains(fmt.Sprint(err), "patients.example") {
				t.Errorf("the error tells who was written to: %v", err)
			}
		})
	}
	w := newWorld(t)
	long := letterTo("a@patients.example")
	long.People[0].Fill["x"] = strings.Repeat("y", maxFill)
	if _, err := newAdapter(t, w.opt).SendBatch(t.Context(), long); err == nil || w.posts.Load() != 0 {
		t.Errorf("too long: %v", err)
	}
}
