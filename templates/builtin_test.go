package templates_test

import (
	"testing"

	"harmonize.care/heed/preferences/policy"
	"harmonize.care/heed/templates"
)

// TestBuiltinAgreesWithPolicy lints every built-in template under the built-in
// policy: there is one for every category, and none says more than it may.
func TestBuiltinAgreesWithPolicy(t *testing.T) {
	set := templates.Builtin()
	file := policy.Default()
	for name, rule := range file.Categories {
		tmpl, ok := set.Get(name)
		if !ok {
			t.Errorf("category %s has no template", name)
			continue
		}
		if err := tmpl.Lint(templates.Category{Name: name, Essential: rule.Class == policy.Essential, Content: rule.Content}); err != nil {
			t.Error(err)
		}
	}
	for _, name := range set.Names() {
		tmpl, _ := set.Get(name)
		if _, ok := file.Categories[name]; ok != (tmpl.Category != "") {
			t.Errorf("%s: belongs to category %q, which the policy does not know", name, tmpl.Category)
		}
		if tmpl.Category == "" {
			if err := tmpl.Lint(templates.Category{}); err != nil {
				t.Error(err)
			}
		}
	}
}
