package jupiter

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestDecodeErrorReadsEveryRecordedShape(t *testing.T) {
	fixture(t, "errors/400-no-routes-found.json")
	dir := os.Getenv("FIXTURES_DIR")
	if dir == "" {
		dir = "../../../shared/fixtures"
	}
	paths, err := filepath.Glob(filepath.Join(dir, "jupiter/errors/[45]*.json"))
	if err != nil || len(paths) < 8 {
		t.Fatalf("%d recorded errors, %v", len(paths), err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var recorded struct {
			Status int
			Body   json.RawMessage
		}
		if err := json.Unmarshal(data, &recorded); err != nil {
			t.Fatal(err)
		}
		var body map[string]any
		if err := json.Unmarshal(recorded.Body, &body); err != nil {
			t.Fatal(err)
		}
		e := DecodeError(recorded.Status, recorded.Body)
		sentence := body["error"]
		if sentence == nil {
			sentence = body["message"]
		}
		code, _ := body["errorCode"].(string)
		if e.Status != recorded.Status || e.Message != sentence || e.Code != code {
			t.Errorf("%s: decoded as %+v", filepath.Base(path), e)
		}
	}
}

func TestWriteErrorHasJupitersShapes(t *testing.T) {
	late := Errorf(429, CodeTooManyRequests, "slow down")
	late.RetryAfter = 1100 * time.Millisecond
	for name, tt := range map[string]struct {
		err    error
		status int
		body   string
		retry  string
	}{
		"the application's": {Errorf(400, CodeNoRoutesFound, "No routes found"), 400, `{"error":"No routes found","errorCode":"NO_ROUTES_FOUND"}`, ""},
		"without a code":    {Errorf(400, "", "x %d", 1), 400, `{"error":"x 1"}`, ""},
		"the gateway's":     {late, 429, `{"error":"slow down","errorCode":"TOO_MANY_REQUESTS","code":429,"message":"slow down"}`, "2"},
		"wrapped":           {fmt.Errorf("asking: %w", Errorf(404, CodeNotFound, "no")), 404, `{"error":"no","errorCode":"NOT_FOUND","code":404,"message":"no"}`, ""},
		"nobody's business": {errors.New("password is hunter2"), 500, `{"error":"internal error; the request id finds it in the log","errorCode":"INTERNAL_ERROR"}`, ""},
	} {
		w := httptest.NewRecorder()
		WriteError(w, tt.err)
		if w.Code != tt.status || w.Body.String() != tt.body || w.Header().Get("Retry-After") != tt.retry {
			t.Errorf("%s: %d %s, Retry-After %q", name, w.Code, w.Body, w.Header().Get("Retry-After"))
		}
	}
}

// Whoever makes quotes writes what Jupiter writes: a recorded quote keeps the fields that the type has.
func TestQuoteKeepsWhatItKnowsOfRecordedQuotes(t *testing.T) {
	recorded := fixture(t, "quotes/v1-sol-usdc-excl-bisonfi-2hop.json")
	var q Quote
	if err := json.Unmarshal(recorded, &q); err != nil {
		t.Fatal(err)
	}
	written, err := json.Marshal(q)
	if err != nil {
		t.Fatal(err)
	}
	var want, got map[string]any
	if err := errors.Join(json.Unmarshal(recorded, &want), json.Unmarshal(written, &got)); err != nil {
		t.Fatal(err)
	}
	for key, value := range got {
		if key == "routePlan" {
			continue // its steps have fields that the type leaves out
		}
		if diff := cmp.Diff(want[key], value); diff != "" {
			t.Errorf("%s: %s", key, diff)
		}
	}
	if len(q.RoutePlan) != 2 || q.RoutePlan[1].SwapInfo.OutAmount != q.OutAmount || q.RoutePlan[0].Percent == nil {
		t.Errorf("the route was read as %+v", q.RoutePlan)
	}
}
