package rpc

import (
	"encoding/base64"

	bin "github.com/gagliardetto/binary"
	"github.com/gagliardetto/solana-go"
	"github.com/mr-tron/base58"

	"jupiter-dex-integration/src/simulator/market"
	"jupiter-dex-integration/src/simulator/svm"
)

// transaction reads the transaction at parameter 0 and refuses what does not decode or fit together.
func (a args) transaction(encoding string) (*solana.Transaction, error) {
	text, err := a.text(0)
	if err != nil {
		return nil, err
	}
	var raw []byte
	switch encoding {
	case "", "base58":
		const most = 1683 // characters for a full packet
		if len(text) > most {
			return nil, invalidParams("base58 encoded transaction too large: %d bytes (max: encoded/raw %d/%d)", len(text), most, svm.MaxTransactionBytes)
		}
		raw, err = base58.Decode(text)
	case "base64":
		raw, err = base64.StdEncoding.DecodeString(text)
	default:
		return nil, invalidParams("unsupported encoding: %s. Supported encodings: base58, base64", encoding)
	}
	if err != nil {
		return nil, invalidParams("invalid %s encoding: %v", encoding, err)
	}
	if len(raw) > svm.MaxTransactionBytes {
		return nil, invalidParams("decoded transaction too large: %d bytes (max: %d bytes)", len(raw), svm.MaxTransactionBytes)
	}
	tx := new(solana.Transaction)
	if err := tx.UnmarshalWithDecoder(bin.NewBinDecoder(raw)); err != nil {
		return nil, invalidParams("failed to deserialize transaction: %v", err)
	}
	if err := svm.Sanitize(tx); err != nil {
		return nil, invalidParams("invalid transaction: %v", err)
	}
	return tx, nil
}

// simulation is the value of simulateTransaction.
type simulation struct {
	Err                  error      `json:"err"`
	Logs                 []string   `json:"logs"`
	Accounts             []*account `json:"accounts"`
	UnitsConsumed        uint64     `json:"unitsConsumed"`
	Fee                  *uint64    `json:"fee"`
	ReturnData           any        `json:"returnData"`
	InnerInstructions    any        `json:"innerInstructions"`
	ReplacementBlockhash any        `json:"replacementBlockhash,omitempty"`
}

// simulate is what svm.Runtime.Execute does and checks, with the blockhash on top: it must be one of the last 150, unless
// the caller has it replaced.
func (h *Handler) simulate(s *market.Snapshot, tx *solana.Transaction, replace bool) (simulation, *svm.Accounts) {
	var out simulation
	if replace {
		tx.Message.RecentBlockhash = s.Blockhash
		out.ReplacementBlockhash = map[string]any{"blockhash": s.Blockhash.String(), "lastValidBlockHeight": s.LastValidHeight()}
	}
	if !h.market.BlockhashValid(s, tx.Message.RecentBlockhash) {
		out.Err, out.Logs = &svm.TransactionError{Name: "BlockhashNotFound"}, []string{}
		return out, svm.NewAccounts(s.Account)
	}
	outcome, accounts := h.market.Simulate(s, tx)
	out.Err, out.Logs, out.UnitsConsumed = outcome.Err, outcome.Logs, outcome.Units
	if outcome.FeeLamports > 0 {
		out.Fee = &outcome.FeeLamports
	}
	if out.Logs == nil {
		out.Logs = []string{}
	}
	return out, accounts
}

// simulateTransaction runs a transaction without keeping what it does. Signatures are checked with sigVerify only, their
// number always.
func (h *Handler) simulateTransaction(a args) (any, error) {
	s, o, err := h.at(a, 1)
	if err != nil {
		return nil, err
	}
	if o.SigVerify && o.ReplaceRecentBlockhash {
		return nil, invalidParams("sigVerify may not be used with replaceRecentBlockhash")
	}
	tx, err := a.transaction(o.Encoding)
	if err != nil {
		return nil, err
	}
	if o.SigVerify && tx.VerifySignatures() != nil {
		return nil, &Error{Code: codeSignature, Message: "Transaction signature verification failure"}
	}
	out, accounts := h.simulate(s, tx, o.ReplaceRecentBlockhash)
	if o.Accounts != nil {
		if len(o.Accounts.Addresses) > len(tx.Message.AccountKeys) {
			return nil, invalidParams("Too many accounts provided; max %d", len(tx.Message.AccountKeys))
		}
		encoding := options{Encoding: o.Accounts.Encoding}
		if encoding.Encoding == "" {
			encoding.Encoding = "base64"
		}
		for _, text := range o.Accounts.Addresses {
			key, err := parseKey(text)
			if err != nil {
				return nil, err
			}
			if out.Err != nil { // the node shows no accounts then
				out.Accounts = append(out.Accounts, nil)
				continue
			}
			encoded, err := encoding.encodeOrNull(accounts.Get(key))
			if err != nil {
				return nil, err
			}
			out.Accounts = append(out.Accounts, encoded)
		}
	}
	return inContext(s, out), nil
}

// sendTransaction queues a transaction for the next slot.
func (h *Handler) sendTransaction(a args) (any, error) {
	o, err := a.options(1)
	if err != nil {
		return nil, err
	}
	tx, err := a.transaction(o.Encoding)
	if err != nil {
		return nil, err
	}
	if !o.SkipPreflight {
		s, err := h.snapshot(options{Commitment: o.PreflightCommitment, MinContextSlot: o.MinContextSlot})
		if err != nil {
			return nil, err
		}
		if tx.VerifySignatures() != nil {
			return nil, &Error{Code: codeSignature, Message: "Transaction signature verification failure"}
		}
		if out, _ := h.simulate(s, tx, false); out.Err != nil {
			return nil, &Error{Code: codePreflight, Message: "Transaction simulation failed: " + out.Err.Error(), Data: out}
		}
	}
	if tx.VerifySignatures() == nil { // without preflight the node takes it and the leader drops it
		if err := h.market.Send(tx); err != nil {
			return nil, &Error{Code: codeInternal, Message: err.Error()}
		}
	}
	return tx.Signatures[0].String(), nil
}

// getSignatureStatuses knows what was sent here in the last 150 blocks.
func (h *Handler) getSignatureStatuses(a args) (any, error) {
	var texts []string
	if err := a.decode(0, &texts); err != nil {
		return nil, err
	}
	if len(texts) > 256 {
		return nil, invalidParams("Too many inputs provided; max 256")
	}
	type status struct {
		Slot               uint64         `json:"slot"`
		Confirmations      *uint64        `json:"confirmations"`
		Err                error          `json:"err"`
		Status             map[string]any `json:"status"`
		ConfirmationStatus string         `json:"confirmationStatus"`
	}
	heads := h.market.Heads()
	tip := heads[market.Processed]
	values := make([]*status, len(texts))
	for i, text := range texts {
		signature, err := parseSignature(text)
		if err != nil {
			return nil, err
		}
		known, ok := h.market.Status(signature)
		if !ok || known.Slot > tip.Slot {
			continue
		}
		confirmations := tip.Slot - known.Slot
		values[i] = &status{Slot: known.Slot, Confirmations: &confirmations, Err: known.Outcome.Err, ConfirmationStatus: "processed"}
		switch {
		case known.Slot <= heads[market.Finalized].Slot:
			values[i].ConfirmationStatus, values[i].Confirmations = "finalized", nil
		case known.Slot <= heads[market.Confirmed].Slot:
			values[i].ConfirmationStatus = "confirmed"
		}
		values[i].Status = map[string]any{"Ok": nil}
		if known.Outcome.Err != nil {
			values[i].Status = map[string]any{"Err": known.Outcome.Err}
		}
	}
	return inContext(tip, values), nil
}

func parseSignature(text string) (solana.Signature, error) {
	raw, err := base58.Decode(text)
	if len(text) > 88 || err != nil || len(raw) != solana.SignatureLength {
		return solana.Signature{}, invalidParams("Invalid param: not a signature")
	}
	return solana.Signature(raw), nil
}
