package policy

import (
	"slices"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/preferences"
)

// SendsBulk says whether any category goes out as bulk mail: those whose purpose is marketing.
func (p *Policy) SendsBulk() bool {
	for name := range p.File.Categories {
		if cat, ok := p.Category(name); ok && bulk(cat) {
			return true
		}
	}
	return false
}

// RefusesBulk says whether somebody refused, at one mailbox, every category that goes out
// as bulk mail: only then may a provider's list, which knows no categories, hold it.
func (p *Policy) RefusesBulk(s *preferences.Snapshot, a *preferences.Address) bool {
	for name := range p.File.Categories {
		cat, ok := p.Category(name)
		if !ok || !bulk(cat) {
			continue
		}
		if last, said := lastWord(s, cat, channels.Email, a); !said || last.in {
			return false
		}
	}
	return p.SendsBulk()
}

func bulk(c *Category) bool {
	return c.Purpose == Marketing && slices.Contains(c.Channels, channels.Email)
}
