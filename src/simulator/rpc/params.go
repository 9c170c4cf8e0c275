package rpc

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"
	"slices"

	"github.com/gagliardetto/solana-go"
	"github.com/klauspost/compress/zstd"
	"github.com/mr-tron/base58"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/simulator/market"
)

// options is the configuration object of all methods together.
type options struct {
	Commitment     string     `json:"commitment"`
	MinContextSlot uint64     `json:"minContextSlot"`
	Encoding       string     `json:"encoding"`
	DataSlice      *dataSlice `json:"dataSlice"`
	Filters        []filter   `json:"filters"`
	WithContext    bool       `json:"withContext"`

	SigVerify              bool             `json:"sigVerify"`
	ReplaceRecentBlockhash bool             `json:"replaceRecentBlockhash"`
	Accounts               *accountsOptions `json:"accounts"`
	SkipPreflight          bool             `json:"skipPreflight"`
	PreflightCommitment    string           `json:"preflightCommitment"`

	// lossy is how the websocket treats data that the encoding cannot hold: it says so in its place.
	lossy bool
}

type dataSlice struct {
	Offset uint64 `json:"offset"`
	Length uint64 `json:"length"`
}

type accountsOptions struct {
	Encoding  string   `json:"encoding"`
	Addresses []string `json:"addresses"`
}

type filter struct {
	DataSize *uint64 `json:"dataSize"`
	Memcmp   *memcmp `json:"memcmp"`
}

type memcmp struct {
	Offset   uint64 `json:"offset"`
	Bytes    string `json:"bytes"`
	Encoding string `json:"encoding"`

	raw []byte
}

// args are a request's positional parameters.
type args []json.RawMessage

func parseArgs(raw json.RawMessage) (args, error) {
	if len(raw) == 0 || bytes.Equal(raw, null) {
		return nil, nil
	}
	var a args
	if json.Unmarshal(raw, &a) != nil {
		return nil, invalidParams("Invalid params: expected a sequence")
	}
	return a, nil
}

// decode reads parameter i into v, which stays as it is if there is none.
func (a args) decode(i int, v any) error {
	if i >= len(a) || bytes.Equal(a[i], null) {
		return nil
	}
	if err := json.Unmarshal(a[i], v); err != nil {
		return invalidParams("Invalid params: parameter %d: %v", i, err)
	}
	return nil
}

// options reads the configuration object at i.
func (a args) options(i int) (options, error) {
	var o options
	if err := a.decode(i, &o); err != nil {
		return o, err
	}
	if len(o.Filters) > 4 {
		return o, invalidParams("Too many filters provided; max 4")
	}
	for _, f := range o.Filters {
		switch m := f.Memcmp; {
		case m == nil:
		case m.Encoding == "" || m.Encoding == "base58":
			raw, err := base58.Decode(m.Bytes)
			if err != nil || len(m.Bytes) > 175 || len(raw) > 128 {
				return o, invalidParams("Invalid param: memcmp bytes must be at most 128, as base58")
			}
			m.raw = raw
		case m.Encoding == "base64":
			raw, err := base64.StdEncoding.DecodeString(m.Bytes)
			if err != nil || len(raw) > 128 {
				return o, invalidParams("Invalid param: memcmp bytes must be at most 128, as base64")
			}
			m.raw = raw
		default:
			return o, invalidParams("Invalid params: memcmp encoding must be base58 or base64")
		}
	}
	return o, nil
}

// text reads the string that must be at i.
func (a args) text(i int) (string, error) {
	if i >= len(a) {
		return "", invalidParams("`params` should have at least %d argument(s)", i+1)
	}
	var text string
	if err := a.decode(i, &text); err != nil {
		return "", err
	}
	return text, nil
}

// key reads the address that must be at i.
func (a args) key(i int) (solana.PublicKey, error) {
	text, err := a.text(i)
	if err != nil {
		return solana.PublicKey{}, err
	}
	return parseKey(text)
}

func parseKey(text string) (solana.PublicKey, error) {
	if len(text) > 44 {
		return solana.PublicKey{}, invalidParams("Invalid param: WrongSize")
	}
	raw, err := base58.Decode(text)
	if err != nil {
		return solana.PublicKey{}, invalidParams("Invalid param: Invalid")
	}
	if len(raw) != solana.PublicKeyLength {
		return solana.PublicKey{}, invalidParams("Invalid param: WrongSize")
	}
	return solana.PublicKey(raw), nil
}

func commitment(name string) (market.Commitment, error) {
	switch name {
	case "", "finalized": // as the node has it, the slowest is the default
		return market.Finalized, nil
	case "confirmed":
		return market.Confirmed, nil
	case "processed":
		return market.Processed, nil
	}
	return 0, invalidParams("Invalid params: unknown variant `%s`, expected one of `processed`, `confirmed`, `finalized`", name)
}

// snapshot is the state that the options ask for.
func (h *Handler) snapshot(o options) (*market.Snapshot, error) {
	c, err := commitment(o.Commitment)
	if err != nil {
		return nil, err
	}
	s := h.market.At(c)
	if s.Slot < o.MinContextSlot {
		return nil, &Error{
			Code: codeMinContextSlot, Message: "Minimum context slot has not been reached",
			Data: map[string]uint64{"contextSlot": s.Slot},
		}
	}
	return s, nil
}

// withContext is how the node wraps values that depend on the slot.
type withContext struct {
	Context responseContext `json:"context"`
	Value   any             `json:"value"`
}

type responseContext struct {
	APIVersion string `json:"apiVersion"`
	Slot       uint64 `json:"slot"`
}

func inContext(s *market.Snapshot, value any) withContext {
	return withContext{responseContext{nodeVersion, s.Slot}, value}
}

// account is an account in JSON.
type account struct {
	Lamports   uint64 `json:"lamports"`
	Owner      string `json:"owner"`
	Data       any    `json:"data"`
	Executable bool   `json:"executable"`
	RentEpoch  uint64 `json:"rentEpoch"`
	Space      uint64 `json:"space"`
}

type keyedAccount struct {
	Pubkey  string  `json:"pubkey"`
	Account account `json:"account"`
}

var compressor = func() *zstd.Encoder {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		panic(err) // no option is wrong
	}
	return encoder
}()

// encode is the account in the encoding and slice asked for.
func (o options) encode(a *amm.Account) (account, error) {
	out := account{
		Lamports: a.Lamports, Owner: a.Owner.String(), Executable: market.Executable(a), RentEpoch: math.MaxUint64, Space: uint64(len(a.Data)),
	}
	data := a.Data
	if o.DataSlice != nil {
		from := min(o.DataSlice.Offset, uint64(len(data)))
		data = data[from : from+min(o.DataSlice.Length, uint64(len(data))-from)]
	}
	switch o.Encoding {
	case "", "binary", "base58":
		if len(data) > 128 && o.lossy {
			out.Data = "error: data too large for bs58 encoding"
			return out, nil
		}
		if len(data) > 128 {
			return out, &Error{Code: codeInvalidRequest, Message: "Encoded binary (base 58) data should be less than 128 bytes, please use Base64 encoding."}
		}
		out.Data = []string{base58.Encode(data), "base58"}
		if o.Encoding != "base58" {
			out.Data = base58.Encode(data)
		}
	case "base64":
		out.Data = []string{base64.StdEncoding.EncodeToString(data), "base64"}
	case "base64+zstd":
		out.Data = []string{base64.StdEncoding.EncodeToString(compressor.EncodeAll(data, nil)), "base64+zstd"}
	case "jsonParsed":
		return out, invalidParams("Invalid params: encoding jsonParsed is not simulated, use base64")
	default:
		return out, invalidParams("Invalid params: unknown variant `%s`, expected one of `base58`, `base64`, `base64+zstd`", o.Encoding)
	}
	return out, nil
}

// encodeOrNull is the account, or null where there is none.
func (o options) encodeOrNull(a *amm.Account) (*account, error) {
	if a == nil {
		return nil, nil
	}
	out, err := o.encode(a)
	return &out, err
}

// match says whether the filters let an account through.
func (o options) match(a *amm.Account) bool {
	return !slices.ContainsFunc(o.Filters, func(f filter) bool {
		size := uint64(len(a.Data))
		if f.DataSize != nil && *f.DataSize != size {
			return true
		}
		m := f.Memcmp
		return m != nil && (m.Offset > size || !bytes.HasPrefix(a.Data[m.Offset:], m.raw))
	})
}
