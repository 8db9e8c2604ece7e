package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"harmonize.care/heed/gateway/auth"
)

// AuditOut is who did what to which object.
type AuditOut struct {
	ID     string    `json:"id"`
	At     time.Time `json:"at"`
	Actor  string    `json:"actor" doc:"The key's name, the provider, or heed itself."`
	Verb   string    `json:"verb"`
	Object string    `json:"object" doc:"By our own ids: patient:17."`
	Detail string    `json:"detail,omitempty"`
}

func (a *API) audit(h huma.API) {
	type auditList struct {
		Body struct {
			Entries []AuditOut `json:"entries"`
			Next    string     `json:"next,omitempty"`
		}
	}
	register(a, h, op(http.MethodGet, "/v1/audit", "Who did what, oldest first", auth.ReadAudit),
		func(ctx context.Context, in *struct{ Page }) (*auditList, error) {
			after, err := cursor(in.After)
			if err != nil {
				return nil, err
			}
			found, err := a.Store.Audits(ctx, after, in.Limit)
			if err != nil {
				return nil, err
			}
			out := &auditList{}
			out.Body.Entries = []AuditOut{}
			for _, r := range found {
				out.Body.Entries = append(out.Body.Entries, AuditOut{strconv.FormatInt(r.ID, 10), r.At.UTC(), r.Actor, r.Verb, r.Object, r.Detail})
			}
			if len(found) == in.Limit {
				out.Body.Next = strconv.FormatInt(found[len(found)-1].ID, 10)
			}
			return out, nil
		})
}
