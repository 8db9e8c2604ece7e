package store

import (
	"context"
	"encoding/json"
	"fmt"

	"harmonize.care/heed/gateway"
)

// templates keeps what is done to the practice's own texts. A number that is taken, a
// version that does not wait, and an author who approves are refused here too,
// whatever was looked at before.
func (r *ride) templates() error {
	return r.perUnit(func(u *unit) error {
		for i := range u.c.Templates {
			n, err := u.template(&u.c.Templates[i])
			if err != nil {
				return err
			}
			if n == 0 {
				return gateway.ErrStale
			}
		}
		return nil
	})
}

func (u *unit) template(s *gateway.TemplateStep) (int64, error) {
	switch s.Do {
	case gateway.AddTemplate:
		draft, err := json.Marshal(s.Draft)
		if err != nil {
			return 0, err
		}
		return u.exec(`INSERT INTO template_versions (name, version, draft, digest, created_by, created_at) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`,
			s.Name, s.Version, string(draft), s.Draft.Digest(), u.c.Actor, micros(u.c.At))
	case gateway.ApproveTemplate:
		return u.exec(`UPDATE template_versions SET approved_by = $3, approved_at = $4
			WHERE name = $1 AND version = $2 AND approved_at IS NULL AND retired_at IS NULL AND created_by <> $3`,
			s.Name, s.Version, u.c.Actor, micros(u.c.At))
	case gateway.RetireTemplate:
		return u.exec(`UPDATE template_versions SET retired_by = $3, retired_at = $4 WHERE name = $1 AND version = $2 AND retired_at IS NULL`,
			s.Name, s.Version, u.c.Actor, micros(u.c.At))
	}
	return 0, fmt.Errorf("a step of a template that is none: %d", s.Do)
}

// TemplateVersions lists the practice's own texts by name and version; "" is every name.
func (d *DB) TemplateVersions(ctx context.Context, name string) ([]gateway.TemplateVersion, error) {
	list, err := d.read.QueryContext(ctx, `SELECT version, draft, digest, created_by, created_at, approved_by, COALESCE(approved_at, 0), retired_by, COALESCE(retired_at, 0)
		FROM template_versions WHERE name = $1 OR $1 = '' ORDER BY name, version`, name)
	if err != nil {
		return nil, err
	}
	var got []gateway.TemplateVersion
	return got, scan(list, func(s scanner) error {
		var v gateway.TemplateVersion
		var draft string
		var created, approved, retired int64
		if err := s.Scan(&v.Version, &draft, &v.Digest, &v.CreatedBy, &created, &v.ApprovedBy, &approved, &v.RetiredBy, &retired); err != nil {
			return err
		}
		v.Created, v.Approved, v.Retired = instant(created), instant(approved), instant(retired)
		err := json.Unmarshal([]byte(draft), &v.Draft)
		got = append(got, v)
		return err
	})
}

// TemplatesMark moves with everything that is done to the practice's own texts. Each
// of the counts only grows, and whatever is done raises one.
func (d *DB) TemplatesMark(ctx context.Context) (string, error) {
	var added, approved, retired int64
	err := d.read.QueryRowContext(ctx, "SELECT COUNT(*), COUNT(approved_at), COUNT(retired_at) FROM template_versions").Scan(&added, &approved, &retired)
	return fmt.Sprint(added, approved, retired), err
}
