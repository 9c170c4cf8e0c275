package rpc

import (
	"cmp"
	"slices"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/simulator/market"
	"jupiter-dex-integration/src/simulator/svm"
)

const (
	nodeVersion = "3.1.4"
	featureSet  = 2_893_131_720

	maxKeys            = 100 // of getMultipleAccounts
	maxFeeKeys         = 128
	feeSlots           = 150
	maxPermittedLength = 10 << 20
)

type method func(*Handler, args) (any, error)

var methods = map[string]method{
	"getAccountInfo":                    (*Handler).getAccountInfo,
	"getBalance":                        (*Handler).getBalance,
	"getBlockHeight":                    (*Handler).getBlockHeight,
	"getEpochInfo":                      (*Handler).getEpochInfo,
	"getGenesisHash":                    func(h *Handler, _ args) (any, error) { return h.genesisHash, nil },
	"getHealth":                         func(*Handler, args) (any, error) { return "ok", nil },
	"getLatestBlockhash":                (*Handler).getLatestBlockhash,
	"getMinimumBalanceForRentExemption": (*Handler).getMinimumBalanceForRentExemption,
	"getMultipleAccounts":               (*Handler).getMultipleAccounts,
	"getProgramAccounts":                (*Handler).getProgramAccounts,
	"getRecentPrioritizationFees":       (*Handler).getRecentPrioritizationFees,
	"getSignatureStatuses":              (*Handler).getSignatureStatuses,
	"getSlot":                           (*Handler).getSlot,
	"getVersion": func(*Handler, args) (any, error) {
		return map[string]any{"solana-core": nodeVersion, "feature-set": featureSet}, nil
	},
	"isBlockhashValid":    (*Handler).isBlockhashValid,
	"sendTransaction":     (*Handler).sendTransaction,
	"simulateTransaction": (*Handler).simulateTransaction,
}

// at is the state and the options that a method with its configuration at parameter i is about.
func (h *Handler) at(a args, i int) (*market.Snapshot, options, error) {
	o, err := a.options(i)
	if err != nil {
		return nil, o, err
	}
	s, err := h.snapshot(o)
	return s, o, err
}

func (h *Handler) getAccountInfo(a args) (any, error) {
	key, err := a.key(0)
	if err != nil {
		return nil, err
	}
	s, o, err := h.at(a, 1)
	if err != nil {
		return nil, err
	}
	value, err := o.encodeOrNull(s.Account(key))
	return inContext(s, value), err
}

func (h *Handler) getMultipleAccounts(a args) (any, error) {
	var texts []string
	if err := a.decode(0, &texts); err != nil {
		return nil, err
	}
	if len(texts) > maxKeys {
		return nil, invalidParams("Too many inputs provided; max %d", maxKeys)
	}
	s, o, err := h.at(a, 1)
	if err != nil {
		return nil, err
	}
	if o.Encoding == "" {
		o.Encoding = "base64" // unlike getAccountInfo
	}
	values := make([]*account, len(texts))
	for i, text := range texts {
		key, err := parseKey(text)
		if err != nil {
			return nil, err
		}
		if values[i], err = o.encodeOrNull(s.Account(key)); err != nil {
			return nil, err
		}
	}
	return inContext(s, values), nil
}

func (h *Handler) getProgramAccounts(a args) (any, error) {
	program, err := a.key(0)
	if err != nil {
		return nil, err
	}
	s, o, err := h.at(a, 1)
	if err != nil {
		return nil, err
	}
	found := []keyedAccount{}
	for key, account := range s.Accounts() {
		if account.Owner != program || !o.match(account) {
			continue
		}
		encoded, err := o.encode(account)
		if err != nil {
			return nil, err
		}
		found = append(found, keyedAccount{key.String(), encoded})
	}
	slices.SortFunc(found, func(a, b keyedAccount) int { return cmp.Compare(a.Pubkey, b.Pubkey) })
	if o.WithContext {
		return inContext(s, found), nil
	}
	return found, nil
}

func (h *Handler) getBalance(a args) (any, error) {
	key, err := a.key(0)
	if err != nil {
		return nil, err
	}
	s, _, err := h.at(a, 1)
	if err != nil {
		return nil, err
	}
	var lamports uint64
	if account := s.Account(key); account != nil {
		lamports = account.Lamports
	}
	return inContext(s, lamports), nil
}

func (h *Handler) getSlot(a args) (any, error) {
	s, _, err := h.at(a, 0)
	if err != nil {
		return nil, err
	}
	return s.Slot, nil
}

func (h *Handler) getBlockHeight(a args) (any, error) {
	s, _, err := h.at(a, 0)
	if err != nil {
		return nil, err
	}
	return s.Height(), nil
}

func (h *Handler) getEpochInfo(a args) (any, error) {
	s, _, err := h.at(a, 0)
	if err != nil {
		return nil, err
	}
	return map[string]uint64{
		"absoluteSlot": s.Slot, "blockHeight": s.Height(), "epoch": s.Epoch(), "slotIndex": s.Slot % market.SlotsPerEpoch,
		"slotsInEpoch": market.SlotsPerEpoch, "transactionCount": s.Height() * 1_400,
	}, nil
}

func (h *Handler) getLatestBlockhash(a args) (any, error) {
	s, _, err := h.at(a, 0)
	if err != nil {
		return nil, err
	}
	return inContext(s, map[string]any{"blockhash": s.Blockhash.String(), "lastValidBlockHeight": s.LastValidHeight()}), nil
}

func (h *Handler) isBlockhashValid(a args) (any, error) {
	text, err := a.text(0)
	if err != nil {
		return nil, err
	}
	hash, err := parseKey(text) // a hash is as long as a key
	if err != nil {
		return nil, err
	}
	s, _, err := h.at(a, 1)
	if err != nil {
		return nil, err
	}
	return inContext(s, h.market.BlockhashValid(s, solana.Hash(hash))), nil
}

func (h *Handler) getMinimumBalanceForRentExemption(a args) (any, error) {
	length := -1
	if err := a.decode(0, &length); err != nil {
		return nil, err
	}
	if length < 0 || length > maxPermittedLength {
		return nil, invalidParams("Invalid params: the data length must be from 0 to %d", maxPermittedLength)
	}
	if _, err := a.options(1); err != nil {
		return nil, err
	}
	return svm.RentExemptLamports(length), nil
}

func (h *Handler) getRecentPrioritizationFees(a args) (any, error) {
	var texts []string
	if err := a.decode(0, &texts); err != nil {
		return nil, err
	}
	if len(texts) > maxFeeKeys {
		return nil, invalidParams("Too many inputs provided; max %d", maxFeeKeys)
	}
	keys := make([]solana.PublicKey, len(texts))
	for i, text := range texts {
		var err error
		if keys[i], err = parseKey(text); err != nil {
			return nil, err
		}
	}
	type fee struct {
		Slot              uint64 `json:"slot"`
		PrioritizationFee uint64 `json:"prioritizationFee"`
	}
	fees := make([]fee, feeSlots)
	last := h.market.At(market.Processed).Slot
	for i := range fees {
		slot := last - feeSlots + 1 + uint64(i)
		fees[i] = fee{slot, h.market.PriorityFee(slot, keys)}
	}
	return fees, nil
}
