package jupiter

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"
)

// Error codes: Jupiter's own where one fits.
const (
	CodeNoRoutesFound       = "NO_ROUTES_FOUND"
	CodeTokenNotTradable    = "TOKEN_NOT_TRADABLE"
	CodeNotSupported        = "NOT_SUPPORTED"
	CodeInvalidRequest      = "INVALID_REQUEST"
	CodeCircularArbitrage   = "CIRCULAR_ARBITRAGE_IS_DISABLED"
	CodeUpstreamUnavailable = "UPSTREAM_UNAVAILABLE"
	CodeUpstreamTimeout     = "UPSTREAM_TIMEOUT"
	CodeCircuitOpen         = "CIRCUIT_OPEN"
	CodeOverloaded          = "OVERLOADED"
	CodeMethodNotAllowed    = "METHOD_NOT_ALLOWED"
	CodeStateNotReady       = "STATE_NOT_READY"
	CodeTooManyRequests     = "TOO_MANY_REQUESTS"
	CodeInternal            = "INTERNAL_ERROR"
	CodeNotFound            = "NOT_FOUND"
	CodeUnauthorized        = "UNAUTHORIZED"
)

// Error is an answer other than success, in the shape of Jupiter's application errors: {"error": sentence, "errorCode":
// code}. Jupiter's gateway errors ({"code": status, "message": sentence}) decode into it too.
type Error struct {
	Status  int
	Code    string
	Message string
	// RetryAfter is when to come back, 0 if that is not known. It travels in the Retry-After header.
	RetryAfter time.Duration
}

// Errorf makes an Error.
func Errorf(status int, code, format string, args ...any) *Error {
	return &Error{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

func (e *Error) Error() string {
	if e.Code == "" {
		return fmt.Sprintf("%s (HTTP %d)", e.Message, e.Status)
	}
	return fmt.Sprintf("%s (%s, HTTP %d)", e.Message, e.Code, e.Status)
}

// DecodeError reads the body of an answer other than 2xx, in either of Jupiter's shapes or none.
func DecodeError(status int, body []byte) *Error {
	var shapes struct {
		Error     string `json:"error"`
		ErrorCode string `json:"errorCode"`
		Message   string `json:"message"`
	}
	e := &Error{Status: status, Message: http.StatusText(status)}
	if json.Unmarshal(body, &shapes) != nil {
		return e
	}
	e.Code = shapes.ErrorCode
	if shapes.Error != "" {
		e.Message = shapes.Error
	} else if shapes.Message != "" {
		e.Message = shapes.Message
	}
	return e
}

// WriteError answers with err: as itself if it is or wraps an *Error, else as an internal error that says nothing. What
// Jupiter's application would refuse (400, 500) has the application's shape; any other status comes from Jupiter's gateway
// there, and has the fields of both shapes here.
func WriteError(w http.ResponseWriter, err error) {
	var e *Error
	if !errors.As(err, &e) {
		e = Errorf(http.StatusInternalServerError, CodeInternal, "internal error; the request id finds it in the log")
	}
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(e.RetryAfter.Seconds()))))
	}
	body := struct {
		Error     string `json:"error"`
		ErrorCode string `json:"errorCode,omitempty"`
		Code      int    `json:"code,omitempty"`
		Message   string `json:"message,omitempty"`
	}{Error: e.Message, ErrorCode: e.Code}
	if e.Status != http.StatusBadRequest && e.Status != http.StatusInternalServerError {
		body.Code, body.Message = e.Status, e.Message
	}
	WriteJSON(w, e.Status, body)
}

// WriteJSON answers with v.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"error":"the answer could not be encoded","errorCode":"INTERNAL_ERROR"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(body)
}
