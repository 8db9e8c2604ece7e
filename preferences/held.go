package preferences

// Span is a time in which a patient had an address, Unix microseconds.
type Span struct {
	From  int64
	Until int64 // 0: still
}

// Held says when a patient had each address, on the contact record or by the
// confidential instruction: what was said of a number before and after belongs to
// others. The events are all of the patient's, oldest first.
func Held(patient int64, events []Event) map[int64][]Span {
	spans := map[int64][]Span{}
	s := &Snapshot{Patient: patient}
	open := map[int64]bool{}
	for i := range events {
		s.Apply(&events[i])
		now := s.held()
		for id := range now {
			if !open[id] {
				spans[id] = append(spans[id], Span{From: events[i].At})
			}
		}
		for id := range open {
			if !now[id] {
				spans[id][len(spans[id])-1].Until = events[i].At
			}
		}
		open = now
	}
	return spans
}

func (s *Snapshot) held() map[int64]bool {
	ids := map[int64]bool{}
	for _, a := range s.Addresses {
		if a.OnRecord {
			ids[a.ID] = true
		}
	}
	if s.Confidential != nil {
		for _, p := range s.Confidential.Only {
			ids[p.Address] = true
		}
	}
	return ids
}

// During says whether a moment lies in one of the spans.
func During(spans []Span, at int64) bool {
	for _, s := range spans {
		if at >= s.From && (s.Until == 0 || at < s.Until) {
			return true
		}
	}
	return false
}
