package rpc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// JSON-RPC's and the node's own error codes.
const (
	codeParse          = -32700
	codeInvalidRequest = -32600
	codeNoMethod       = -32601
	codeInvalidParams  = -32602
	codeInternal       = -32603
	codePreflight      = -32002
	codeSignature      = -32003
	codeMinContextSlot = -32016
)

// Error is the error of a response.
type Error struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Data    any    `json:"data,omitempty"`
}

func (e *Error) Error() string { return fmt.Sprintf("%s (%d)", e.Message, e.Code) }

func invalidParams(format string, args ...any) *Error {
	return &Error{Code: codeInvalidParams, Message: fmt.Sprintf(format, args...)}
}

type request struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Method  string          `json:"method"`
	Params  json.RawMessage `json:"params"`
}

type response struct {
	Version string          `json:"jsonrpc"`
	Result  any             `json:"result,omitempty"`
	Error   *Error          `json:"error,omitempty"`
	ID      json.RawMessage `json:"id"`
}

var null = json.RawMessage("null")

// respond is the response with that result or error; nil for a notification, which gets none.
func (r request) respond(result any, err error) *response {
	if r.ID == nil {
		return nil
	}
	out := &response{Version: "2.0", ID: r.ID, Result: result}
	if err == nil {
		if result == nil {
			out.Result = null
		}
		return out
	}
	out.Result = nil
	if !errors.As(err, &out.Error) {
		out.Error = &Error{Code: codeInternal, Message: "Internal error"}
	}
	return out
}

// parse reads a body that is one request or a batch.
func parse(body []byte) (requests []request, batch bool, err *Error) {
	body = bytes.TrimSpace(body)
	if !json.Valid(body) {
		return nil, false, &Error{Code: codeParse, Message: "Parse error"}
	}
	invalid := &Error{Code: codeInvalidRequest, Message: "Invalid request"}
	if body[0] == '[' {
		if json.Unmarshal(body, &requests) != nil || len(requests) == 0 {
			return nil, true, invalid
		}
		return requests, true, nil
	}
	var one request
	if json.Unmarshal(body, &one) != nil || one.Version != "2.0" || one.Method == "" {
		return nil, false, invalid
	}
	return []request{one}, false, nil
}
