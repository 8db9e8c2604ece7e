package gateway

import (
	"time"

	"harmonize.care/heed/templates"
)

// TemplateVersion is one version of a practice's own template. Nothing of it ever
// changes but that it is approved, once, and retired, once.
type TemplateVersion struct {
	Version    int // 1 first, within its name
	Draft      templates.Draft
	Digest     string // of the draft: what was approved is this and no other
	CreatedBy  string // the key's name
	Created    time.Time
	ApprovedBy string
	Approved   time.Time // zero: not yet
	RetiredBy  string
	Retired    time.Time // zero: not
}

// TemplateStep is one thing done to a version. A step that no longer fits refuses the
// whole change with ErrStale.
type TemplateStep struct {
	Do      TemplateDo
	Name    string
	Version int
	Draft   templates.Draft // AddTemplate
}

// TemplateDo is what is done.
type TemplateDo uint8

// What may be done to a version, by the change's actor.
const (
	AddTemplate     TemplateDo = iota + 1 // stale when the number is taken
	ApproveTemplate                       // stale unless it waits, and somebody else wrote it
	RetireTemplate                        // stale when it is retired already
)
