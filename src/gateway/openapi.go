package gateway

import (
	_ "embed"
	"net/http"
)

//go:embed openapi.json
var openAPI []byte

// describe serves the description of the API.
func describe(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Write(openAPI)
}
