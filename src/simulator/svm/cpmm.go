package svm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/bits"

	"github.com/gagliardetto/solana-go"
	"github.com/holiman/uint256"

	"jupiter-dex-integration/src/amm"
)

// Instructions of Raydium CPMM, and offsets in its accounts, after raydium-io/raydium-cp-swap: programs/cp-swap/src.
var (
	swapBaseInput  = []byte{0x8f, 0xbe, 0x5a, 0xda, 0xc4, 0x1e, 0x33, 0xde}
	swapBaseOutput = []byte{0x37, 0xd9, 0x62, 0x56, 0xa3, 0x4a, 0xb4, 0xad}
)

const (
	poolConfigAt, poolObservationAt     = 8, 296
	poolProtocolFeesAt, poolFundFeesAt  = 341, 357
	poolRecentEpochAt                   = 381
	poolCreatorFeesAt                   = 397
	poolCreatorEnabledAt                = 390
	configTradeAt, configProtocolAt     = 12, 20
	configFundAt, configCreatorAt       = 28, 108
	feeRateDenominator                  = 1_000_000
	observationIndexAt, observationsAt  = 9, 43
	observationLen, observationCapacity = 40, 100
	observationSeconds                  = 15
)

// Errors of Raydium CPMM and of Anchor in front of it.
const (
	cpmmNotApproved  = Custom(6000)
	cpmmSlippage     = Custom(6005)
	cpmmTransferFee  = Custom(6006)
	anchorNoFallback = Custom(101)
	anchorSigner     = Custom(3010)
	anchorMut        = Custom(2000)
	anchorRaw        = Custom(2003)
	anchorAddress    = Custom(2012)
	anchorGt         = Custom(2505)
	anchorFewKeys    = Custom(3005)
	anchorOwner      = Custom(3007)
)

// cpmm is swap_base_input and swap_base_output.
func (c *call) cpmm() error {
	c.units += 24_000
	if len(c.data) != 24 {
		return anchorNoFallback
	}
	exactOut := bytes.Equal(c.data[:8], swapBaseOutput)
	if !exactOut && !bytes.Equal(c.data[:8], swapBaseInput) {
		return anchorNoFallback
	}
	if len(c.keys) < 13 {
		return anchorFewKeys
	}
	if !c.signer[0] {
		return anchorSigner
	}
	if c.mutable(3, 4, 5, 6, 7, 12) != nil {
		return anchorMut
	}
	pool, err := c.runtime.pool(c.keys[3], c.accounts)
	if err != nil {
		c.log("Program log: %v", err)
		return anchorOwner
	}
	info := pool.Info()
	in := 0
	if c.keys[6] == info.Vaults[1] {
		in = 1
	}
	out := 1 - in
	data := c.accounts.Get(info.Address).Data
	if c.keys[2] != solana.PublicKey(data[poolConfigAt:poolConfigAt+32]) || c.keys[10] != info.Mints[in] || c.keys[11] != info.Mints[out] ||
		c.keys[8] != info.TokenPrograms[in] || c.keys[9] != info.TokenPrograms[out] ||
		c.keys[12] != solana.PublicKey(data[poolObservationAt:poolObservationAt+32]) {
		return anchorAddress
	}
	if c.keys[6] != info.Vaults[in] || c.keys[7] != info.Vaults[out] {
		return anchorRaw
	}
	if held, err := c.tokenAccount(c.keys[4], info.TokenPrograms[in]); err != nil {
		return err
	} else if held.Owner != c.keys[0] {
		return tokOwnerMismatch
	}
	first, second := le64(c.data[8:]), le64(c.data[16:])
	req, threshold := amm.Request{AToB: in == 0, Amount: first}, second
	if exactOut {
		req, threshold = amm.Request{AToB: in == 0, ExactOut: true, Amount: second}, first
	}
	_, err = c.swap(pool, req, threshold, c.keys[4], c.keys[5])
	return err
}

// Swap carries out req at the pool between two token accounts, as one instruction with no slippage limit does.
func (r *Runtime) Swap(accounts *Accounts, clock amm.Clock, pool solana.PublicKey, req amm.Request, source, destination solana.PublicKey) (amm.Quote, error) {
	decoded, err := r.pool(pool, accounts)
	if err != nil {
		return amm.Quote{}, err
	}
	x := &execution{runtime: r, accounts: accounts.fork(), clock: clock}
	threshold := uint64(0)
	if req.ExactOut {
		threshold = ^threshold
	}
	quote, err := x.swap(decoded, req, threshold, source, destination)
	if err == nil {
		accounts.merge(x.accounts)
	}
	return quote, err
}

// pool decodes the pool at key.
func (r *Runtime) pool(key solana.PublicKey, accounts *Accounts) (amm.Pool, error) {
	return DecodePool(r.CPMM, key, accounts.Get)
}

// DecodePool decodes the pool at key with everything it names.
func DecodePool(program amm.Program, key solana.PublicKey, get func(solana.PublicKey) *amm.Account) (amm.Pool, error) {
	loaded := amm.Accounts{}
	for {
		watched, err := program.Watch(key, loaded)
		if err != nil {
			return nil, err
		}
		more := false
		for _, k := range watched {
			if _, ok := loaded[k]; !ok {
				loaded[k], more = get(k), true
			}
		}
		if !more {
			return program.Decode(key, loaded)
		}
	}
}

// swap quotes exactly and moves tokens, fees and the observation.
func (x *execution) swap(pool amm.Pool, req amm.Request, threshold uint64, source, destination solana.PublicKey) (amm.Quote, error) {
	info := pool.Info()
	quote, err := pool.Quote(x.clock, req)
	if err != nil {
		x.log("Program log: AnchorError occurred. Error Message: %v.", err)
		return quote, programError(err)
	}
	if !req.ExactOut && quote.Out < threshold || req.ExactOut && quote.In > threshold {
		x.log("Program log: AnchorError occurred. Error Code: ExceededSlippage. Error Number: 6005. Error Message: Swap instruction exceeds desired slippage limit.")
		return quote, cpmmSlippage
	}
	in, out := 0, 1
	if !req.AToB {
		in, out = 1, 0
	}
	inFee, gross, err := x.transferFees(info, quote, in, out)
	if err != nil {
		return quote, err
	}

	data := x.accounts.Edit(info.Address).Data
	x.observe(solana.PublicKey(data[poolObservationAt:poolObservationAt+32]), info)
	if err := x.moveTokens(info.TokenPrograms[in], source, info.Vaults[in], quote.In, inFee); err != nil {
		return quote, err
	}
	if err := x.moveTokens(info.TokenPrograms[out], info.Vaults[out], destination, gross, gross-quote.Out); err != nil {
		return quote, err
	}
	// The trade fee is on the input, the creator's on either side; on the input both are one sum, rounded once.
	config := x.accounts.Get(solana.PublicKey(data[poolConfigAt : poolConfigAt+32])).Data
	trade, creator, creatorSide := quote.FeeIn, quote.FeeOut, out
	if creatorRate := le64(config[configCreatorAt:]); data[poolCreatorEnabledAt] != 0 && quote.FeeOut == 0 {
		creator, creatorSide = mulDiv(quote.FeeIn, creatorRate, creatorRate+le64(config[configTradeAt:])), in
		trade -= creator
	}
	addTo(data[poolCreatorFeesAt+8*creatorSide:], creator)
	addTo(data[poolProtocolFeesAt+8*in:], mulDiv(trade, le64(config[configProtocolAt:]), feeRateDenominator))
	addTo(data[poolFundFeesAt+8*in:], mulDiv(trade, le64(config[configFundAt:]), feeRateDenominator))
	binary.LittleEndian.PutUint64(data[poolRecentEpochAt:], x.clock.Epoch)
	return quote, nil
}

func addTo(field []byte, v uint64) { binary.LittleEndian.PutUint64(field, le64(field)+v) }

// mulDiv is floor(a*b/c) for b at most c; 0 for c = 0.
func mulDiv(a, b, c uint64) uint64 {
	if c == 0 {
		return 0
	}
	hi, lo := bits.Mul64(a, b)
	q, _ := bits.Div64(hi, lo, c)
	return q
}

// transferFees splits a quote into the fee withheld on the way in and the amount that leaves the pool, of which the user
// gets quote.Out.
func (x *execution) transferFees(info *amm.Info, quote amm.Quote, in, out int) (inFee, gross uint64, err error) {
	inMint, err := x.mint(info.Mints[in])
	if err != nil {
		return 0, 0, err
	}
	outMint, err := x.mint(info.Mints[out])
	if err != nil {
		return 0, 0, err
	}
	inFee = inMint.TransferFee(x.clock.Epoch).Fee(quote.In)
	fee := outMint.TransferFee(x.clock.Epoch)
	switch {
	case fee.Bps == 0:
		return inFee, quote.Out, nil
	case quote.ExactOut:
		gross, err = fee.Gross(quote.Out)
		if err != nil {
			return 0, 0, programError(err)
		}
		return inFee, gross, nil
	}
	// What left the pool cannot be told from what arrived, as several amounts net the same: ask the pool as if its mints had no fees.
	plain, err := DecodePool(x.runtime.CPMM, info.Address, func(key solana.PublicKey) *amm.Account {
		account := x.accounts.Get(key)
		if key == info.Mints[in] || key == info.Mints[out] {
			account = &amm.Account{Owner: account.Owner, Lamports: account.Lamports, Data: account.Data[:mintLen]}
		}
		return account
	})
	if err != nil {
		return 0, 0, errPanicked
	}
	bare, err := plain.Quote(x.clock, amm.Request{AToB: quote.AToB, Amount: quote.In - inFee})
	if err != nil {
		return 0, 0, programError(err)
	}
	return inFee, bare.Out, nil
}

// Reserves is what traders swap against: what is in the vaults and is not owed to protocol, fund and creator.
func Reserves(info *amm.Info, get func(solana.PublicKey) *amm.Account) [2]uint64 {
	pool := get(info.Address).Data
	var reserves [2]uint64
	for side, vault := range info.Vaults {
		owed := le64(pool[poolProtocolFeesAt+8*side:]) + le64(pool[poolFundFeesAt+8*side:]) + le64(pool[poolCreatorFeesAt+8*side:])
		reserves[side] = Balance(get(vault)) - owed
	}
	return reserves
}

// observe records the prices before the swap, at most once in 15 seconds.
func (x *execution) observe(key solana.PublicKey, info *amm.Info) {
	reserves := Reserves(info, x.accounts.Get)
	data := x.accounts.Edit(key).Data
	now := uint64(x.clock.UnixTimestamp)
	index := binary.LittleEndian.Uint16(data[observationIndexAt:])
	last := data[observationsAt+observationLen*int(index):][:observationLen]
	if data[8] == 0 {
		data[8] = 1
		binary.LittleEndian.PutUint64(last, now)
		return
	}
	elapsed := now - min(now, le64(last))
	if elapsed < observationSeconds {
		return
	}
	index = (index + 1) % observationCapacity
	next := data[observationsAt+observationLen*int(index):][:observationLen]
	binary.LittleEndian.PutUint64(next, now)
	for side := range 2 {
		price := new(uint256.Int).Lsh(uint256.NewInt(reserves[1-side]), 32)
		price.Div(price, uint256.NewInt(reserves[side]))
		field := last[8+16*side:]
		cumulative := &uint256.Int{le64(field), le64(field[8:])}
		cumulative.Add(cumulative, price.Mul(price, uint256.NewInt(elapsed)))
		binary.LittleEndian.PutUint64(next[8+16*side:], cumulative[0])
		binary.LittleEndian.PutUint64(next[16+16*side:], cumulative[1])
	}
	binary.LittleEndian.PutUint16(data[observationIndexAt:], index)
}

// programError is the program's error for a quote's.
func programError(err error) error {
	switch {
	case errors.Is(err, amm.ErrSwapDisabled), errors.Is(err, amm.ErrNotOpen):
		return cpmmNotApproved
	case errors.Is(err, amm.ErrZeroAmount), errors.Is(err, amm.ErrZeroOutput):
		return anchorGt
	case errors.Is(err, amm.ErrTransferFee):
		return cpmmTransferFee
	}
	return errPanicked // the program unwraps what does not fit
}
