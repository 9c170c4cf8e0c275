package oracle

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"jupiter-dex-integration/src/jupiter"
)

func testAPI(t *testing.T, prices map[string]string) *updater {
	t.Helper()
	u := testUpdater(&fakeJupiter{}, nil, time.Minute, wsol, usdc)
	records := map[string]record{}
	for mint, usd := range prices {
		records[mint] = someRecord(usd, time.Now())
	}
	if err := u.book.merge(records); err != nil {
		t.Fatal(err)
	}
	return u
}

func TestPriceRequests(t *testing.T) {
	api := httptest.NewServer(newAPI(testAPI(t, map[string]string{wsol: "75.06634976056819", usdc: "1.0"})))
	defer api.Close()
	fifty := manyTokens(50)
	for name, c := range map[string]struct {
		query  string
		status int
		want   string // mints of the answer, or part of the error
	}{
		"one token":                            {"ids=" + wsol, 200, wsol},
		"several, in any order":                {"ids=" + usdc + "," + wsol, 200, usdc + " " + wsol},
		"repeated parameter":                   {"ids=" + usdc + "&ids=" + wsol, 200, usdc + " " + wsol},
		"duplicates answer once":               {"ids=" + usdc + "," + usdc, 200, usdc},
		"an escaped comma and spaces":          {"ids=" + usdc + "%2C%20" + wsol, 200, usdc + " " + wsol},
		"a token without a price has no entry": {"ids=" + jup + "," + wsol, 200, wsol},
		"only such tokens":                     {"ids=" + jup, 200, ""},
		"other parameters are ignored":         {"ids=" + wsol + "&vsToken=" + usdc, 200, wsol},
		"fifty are allowed":                    {"ids=" + strings.Join(fifty, ","), 200, ""},
		"duplicates do not count":              {"ids=" + strings.Join(append(fifty, fifty[0]), ","), 200, ""},
		"fifty-one are not":                    {"ids=" + strings.Join(append(fifty, wsol), ","), 400, "more than 50"},
		"none":                                 {"", 400, "ids is missing"},
		"only commas":                          {"ids=,,", 400, "ids is missing"},
		"not base58":                           {"ids=0OIl", 400, "is not a base58 public key"},
		"too short":                            {"ids=abc", 400, "is not a base58 public key"},
		"quotes do not leak into the body":     {"ids=%22%3A1%7D", 400, "is not a base58 public key"},
		"a huge id is not echoed whole":        {"ids=" + strings.Repeat("1", 5000), 400, "is not a base58 public key"},
		"a broken escape":                      {"ids=%zz", 400, "cannot be parsed"},
	} {
		t.Run(name, func(t *testing.T) {
			resp, err := http.Get(api.URL + "/price/v3?" + c.query)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != c.status || resp.Header.Get("Content-Type") != "application/json" {
				t.Fatalf("HTTP %d, %s: %s", resp.StatusCode, resp.Header.Get("Content-Type"), body)
			}
			if c.status == 200 {
				var answer map[string]jupiter.Price
				if err := json.Unmarshal(body, &answer); err != nil {
					t.Fatal(err)
				}
				want := map[string]bool{}
				for mint := range strings.FieldsSeq(c.want) {
					want[mint] = true
				}
				got := map[string]bool{}
				for mint := range answer {
					got[mint] = true
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Error(diff)
				}
				return
			}
			var e struct{ Error, ErrorCode string }
			if err := json.Unmarshal(body, &e); err != nil || e.ErrorCode != jupiter.CodeInvalidRequest || !strings.Contains(e.Error, c.want) || len(e.Error) > 200 {
				t.Errorf("got %s (%v)", body, err)
			}
		})
	}
}

func TestUnknownPathAnswersInJSON(t *testing.T) {
	rec := httptest.NewRecorder()
	newAPI(testAPI(t, nil)).ServeHTTP(rec, httptest.NewRequest("GET", "/price/v2?ids="+wsol, nil))
	if e := jupiter.DecodeError(rec.Code, rec.Body.Bytes()); rec.Code != 404 || e.Code != jupiter.CodeNotFound {
		t.Errorf("HTTP %d: %v", rec.Code, e)
	}
}

func FuzzParseIDs(f *testing.F) {
	f.Add("ids=" + wsol + "," + usdc)
	f.Add("ids=%2C&ids=x")
	known := map[string]entry{wsol: {}}
	f.Fuzz(func(t *testing.T, query string) {
		values, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		ids, err := parseIDs(values["ids"], known, jupiter.MaxPriceIDs)
		if err != nil {
			return
		}
		if len(ids) == 0 || len(ids) > jupiter.MaxPriceIDs {
			t.Errorf("%d ids", len(ids))
		}
		again, err := parseIDs([]string{strings.Join(ids, ",")}, known, jupiter.MaxPriceIDs)
		if diff := cmp.Diff(ids, again); diff != "" || err != nil {
			t.Errorf("%v: %s", err, diff)
		}
	})
}
