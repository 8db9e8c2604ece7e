package api

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"reflect"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/auth"
	"harmonize.care/heed/gateway/campaign"
)

// AudienceOut is what an upload came to. It counts, and names nobody.
type AudienceOut struct {
	Rows     int64 `json:"rows" doc:"Lines of the list."`
	Added    int64 `json:"added"`
	Already  int64 `json:"already" doc:"Stood at their position before: the list was uploaded again."`
	Repeated int64 `json:"repeated" doc:"Stand at another position too: everybody is in an audience once."`
	Unknown  int64 `json:"unknown" doc:"Of those added: no patient has the id. They are counted, and nothing is sent."`
}

// AudienceOf tells what an upload came to.
func AudienceOf(added campaign.Added) AudienceOut {
	return AudienceOut{Rows: added.Rows, Added: added.New, Already: added.Already, Repeated: added.Repeated, Unknown: added.Unknown}
}

// stalled is how long an upload may stand still. It may take as long as it moves.
const stalled = 30 * time.Second

// audience takes lists of any size: they are read as they come, and are no JSON document, so
// that they pass huma by.
func (a *API) audience(h huma.API, mux *http.ServeMux) {
	const path = "/v1/campaigns/{id}/audience"
	a.needs["POST "+path] = auth.RunCampaigns
	mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
		who, err := a.callerOf(r)
		if err != nil {
			w.Header().Set("WWW-Authenticate", "Bearer")
			writeProblem(w, problem(http.StatusUnauthorized, "unauthorized", "Send a key that is in force as `Authorization: Bearer KEY`."))
			return
		}
		ctx := context.WithValue(r.Context(), callerKey{}, who)
		if !who.Role.May(auth.RunCampaigns) {
			a.refused(ctx, "post-campaigns-id-audience", auth.RunCampaigns)
			writeProblem(w, problem(http.StatusForbidden, "forbidden", "The role of this key does not allow this."))
			return
		}
		added, err := a.upload(ctx, w, r)
		if err != nil {
			a.tellFailure(w, "post-campaigns-id-audience", err)
			return
		}
		writeJSON(w, http.StatusOK, AudienceOf(added))
	})
	describeAudience(h.OpenAPI(), path)
	register(a, h, op(http.MethodDelete, path, "Empty the audience of a campaign that was not started", auth.RunCampaigns),
		func(ctx context.Context, in *CampaignPath) (*campaignOut, error) {
			id, err := in.id()
			if err == nil && !gateway.AlreadyDone(ctx) {
				err = a.Campaigns.Clear(ctx, callOf(ctx), id)
			}
			if err != nil {
				return nil, err
			}
			return a.campaign(ctx, in)
		})
}

func (a *API) upload(ctx context.Context, w http.ResponseWriter, r *http.Request) (campaign.Added, error) {
	id, err := CampaignPath{r.PathValue("id")}.id()
	if err != nil {
		return campaign.Added{}, err
	}
	format, err := formatOf(r.Header.Get("Content-Type"))
	if err != nil {
		return campaign.Added{}, err
	}
	first := int64(1)
	if from := r.URL.Query().Get("from"); from != "" {
		if first, err = strconv.ParseInt(from, 10, 64); err != nil || first < 1 || first > 1<<40 {
			return campaign.Added{}, problem(http.StatusUnprocessableEntity, "invalid", "from: the position of the first line, 1 or more.")
		}
	}
	// The list needs no Idempotency-Key: a position that is kept already changes nothing.
	return a.Campaigns.Upload(ctx, campaign.Call{By: personOf(ctx)}, id, format, first, &moving{r.Body, http.NewResponseController(w)})
}

func formatOf(contentType string) (campaign.Format, error) {
	kind, _, _ := mime.ParseMediaType(contentType)
	switch kind {
	case "text/csv":
		return campaign.CSV, nil
	case "application/x-ndjson", "application/ndjson", "application/jsonl":
		return campaign.NDJSON, nil
	}
	return "", problem(http.StatusUnsupportedMediaType, "unsupported_media_type", "Send the list as text/csv or application/x-ndjson.")
}

// moving is a body that may take long as long as it moves.
type moving struct {
	body io.Reader
	conn *http.ResponseController
}

func (m *moving) Read(p []byte) (int, error) {
	// Where the deadlines cannot be moved, the usual ones hold.
	_ = m.conn.SetReadDeadline(time.Now().Add(stalled))
	_ = m.conn.SetWriteDeadline(time.Now().Add(2 * stalled))
	return m.body.Read(p)
}

// tellFailure is what register does with an error.
func (a *API) tellFailure(w http.ResponseWriter, operation string, err error) {
	told := failure(err)
	var hidden *unknown
	var open *Problem
	switch {
	case errors.As(told, &hidden):
		a.Log.Error("request failed", "operation", operation, "error", hidden.cause)
		writeProblem(w, hidden.Problem)
	case errors.As(told, &open):
		writeProblem(w, open)
	default:
		writeProblem(w, fault(http.StatusInternalServerError, ""))
	}
}

func describeAudience(doc *huma.OpenAPI, path string) {
	text := &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
	schema := doc.Components.Schemas.Schema(reflect.TypeFor[AudienceOut](), true, "AudienceOut")
	problem := map[string]*huma.MediaType{"application/problem+json": {Schema: &huma.Schema{Ref: "#/components/schemas/Problem"}}}
	o := &huma.Operation{
		Path: path, Method: http.MethodPost, OperationID: "post-campaigns-id-audience", Security: []map[string][]string{{"key": {}}},
		Summary: "Add a list of patients to the audience: CSV with a column `patient`, or NDJSON; any size, read as it comes",
		Parameters: []*huma.Param{
			{Name: "id", In: "path", Required: true, Schema: &huma.Schema{Type: huma.TypeString}},
			{Name: "from", In: "query", Schema: &huma.Schema{Type: huma.TypeInteger, Format: "int64"}, Description: "The position of the first line; without it 1. The n-th line of a list is a position of its own: the same list again changes nothing."},
		},
		RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"text/csv": text, "application/x-ndjson": text}},
		Responses: map[string]*huma.Response{
			"200": {Description: "What it came to.", Content: map[string]*huma.MediaType{"application/json": {Schema: schema}}},
		},
	}
	for _, status := range []int{400, 401, 403, 404, 409, 415, 422, 500} {
		o.Responses[strconv.Itoa(status)] = &huma.Response{Description: http.StatusText(status), Content: problem}
	}
	doc.AddOperation(o)
}
